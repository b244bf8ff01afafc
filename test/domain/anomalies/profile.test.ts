import t from 'tap';
import type { Activity } from '../../../src/domain/anomalies/activity.js';
import { actionFor, LEVELS, policies } from '../../../src/domain/anomalies/policy.js';
import { MOST, MOST_PROFILE_BYTES, PROFILE_VERSION, type Profile } from '../../../src/domain/anomalies/profile.js';
import { score } from '../../../src/domain/anomalies/score.js';
import { instant, type SessionId } from '../../../src/domain/types.js';
import { BEGIN, days, HOUR, LAST, sessionOf, settled, use } from '../../support/activities.js';
import { seeded } from '../../support/seeded.js';

/** As different and as long as can be: nothing of it was seen before. */
function hostile(i: number, at: number): Activity {
  const long = `${i}${'漢\u0000"'.repeat(200)}`;
  return {
    ...use(at),
    sessionId: `${i}${'s'.repeat(100)}` as SessionId,
    kind: i % 2 === 0 ? 'login' : 'refresh',
    network: long,
    device: long,
    shape: long,
    hosting: i % 3 === 0,
    place: {
      country: String.fromCharCode(0x4e00 + (i % 97), 0x4e00 + (i % 89)),
      continent: String.fromCharCode(0x4e00 + (i % 83), 0x4e00),
      city: long,
      coordinates: { lat: ((i * 37) % 180) - 90 + 1e-9, lon: ((i * 61) % 360) - 180 + 1e-9, radiusKm: 1 / 3 },
    },
  };
}

const bytes = (profile: Profile | null) => Buffer.byteLength(JSON.stringify(profile));

t.test('10,000 uses, none like another, leave a profile within its bounds', async (t) => {
  let profile: Profile | null = null;
  let most = 0;
  for (let i = 0; i < 10_000; i++) {
    profile = score(profile, hostile(i, BEGIN + i * 5 * HOUR)).profile;
    if (i % 500 === 0) most = Math.max(most, bytes(profile));
  }
  t.ok(Math.max(most, bytes(profile)) <= MOST_PROFILE_BYTES, `${most} bytes`);

  for (const [part, length] of Object.entries(MOST)) t.equal(profile?.[part as keyof typeof MOST].length, length, part);
});

t.test('a profile is plain JSON, and judges the same after it was stored', async (t) => {
  const stored: Profile = JSON.parse(JSON.stringify(settled));
  t.strictSame(stored, settled);
  const next = use(LAST + HOUR / 3, { device: 'curl on Linux' });
  t.strictSame(score(stored, next), score(settled, next));
});

t.test('scoring changes no profile but the one it returns', async (t) => {
  const before = JSON.stringify(settled);
  score(settled, hostile(1, LAST + 2 * 86_400_000));
  t.equal(JSON.stringify(settled), before);
});

t.test('a profile of a newer release is neither judged by nor overwritten', async (t) => {
  const newer = { ...settled, version: PROFILE_VERSION + 1 };
  const verdict = score(newer, hostile(1, LAST + HOUR));
  t.equal(verdict.profile, newer);
  t.strictSame([verdict.score, verdict.findings], [0, []]);
});

t.test('uses that arrive in any order leave finite numbers, and the latest as the latest', async (t) => {
  const chance = seeded(5);
  let profile: Profile | null = null;
  for (const activity of [...days(20)].sort(() => chance.next() - 0.5)) {
    const verdict = score(profile, { ...activity, sessionId: sessionOf(1) });
    profile = verdict.profile;
    t.ok(Number.isFinite(verdict.score));
  }
  t.equal(profile?.lastAt, instant(LAST - 10 * 24 * HOUR));
  t.equal(profile?.sessions[0]?.at, profile?.lastAt);
  t.notMatch(JSON.stringify(profile), /null,null|:-\d/, 'no weight is negative or not a number');
});

t.test('the strongest action that the policy allows and the score reaches is taken', async (t) => {
  const rows: [number, (string | null)[]][] = [
    [LEVELS.observe - 0.01, [null, null, null, null]],
    [LEVELS.observe, ['observe', 'observe', 'observe', 'observe']],
    [LEVELS.flag, ['observe', 'flag', 'flag', 'flag']],
    [LEVELS.step_up, ['observe', 'flag', 'step_up', 'step_up']],
    [LEVELS.revoke, ['observe', 'flag', 'step_up', 'revoke']],
    [Number.POSITIVE_INFINITY, ['observe', 'flag', 'step_up', 'revoke']],
    [Number.NaN, [null, null, null, null]],
  ];
  for (const [reached, expected] of rows)
    t.strictSame(
      policies.map((policy) => actionFor(reached, policy)),
      expected,
      String(reached),
    );
});
