/** What `http/sliding` cannot show: a store that hangs, and how much is kept. */
import t from 'tap';
import { within } from '../../src/adapters/system/within.js';
import type { AccessToken } from '../../src/domain/access-token.js';
import { createSlidingSessions } from '../../src/domain/sliding-sessions.js';
import { later, type SessionId, seconds } from '../../src/domain/types.js';
import { countNothing } from '../../src/ports/metrics.js';
import type { Use } from '../../src/ports/session-store.js';
import { fakeClock } from '../support/clock.js';
import { makeSession } from '../support/sessions.js';

const caller = { ip: null, place: null, userAgent: null, requestId: null };
const sidOf = (n: number) => `01900000-0000-7000-8000-${String(n).padStart(12, '0')}`;

function arrange({ hold, writtenAgo = 0 }: { hold?: (use: Use) => Promise<unknown>; writtenAgo?: number } = {}) {
  const clock = fakeClock();
  const uses: Use[] = [];
  const begun = clock.now();
  let made = 0;
  const renew = createSlidingSessions({
    store: {
      async slide(use) {
        uses.push(use);
        await hold?.(use);
        const { found } = makeSession(begun, [], {
          id: use.sessionId,
          userId: makeSession(begun).found.session.userId,
        });
        return { ...found, lastSeenAt: later(use.at, -writtenAgo) };
      },
    },
    directory: { renewAfter: (clientId) => (clientId === 'web' ? 60 : null) },
    tokens: {
      renew: async (_found, at) => ({ accessToken: `token ${made++}`, iat: seconds(at), jti: `${made}` }),
    },
    revocations: { covers: () => false },
    metrics: countNothing,
    clock,
    within: (_ms, work) => within(20, work),
  });
  const token = (sid: string | null = sidOf(1), clientId: string | null = 'web'): AccessToken => ({
    ...{ sub: 'u', aud: ['api'], iat: seconds(begun), exp: seconds(later(begun, 1800)), jti: 'j', sid, clientId },
    ...{ scope: '', nbf: null, roles: [] },
  });
  return { clock, uses, renew: (which = token()) => renew(which, () => caller), token };
}

t.test('nothing is asked for a token that is none of a sliding session', async (t) => {
  const { clock, uses, renew, token } = arrange();
  clock.advance(600);
  for (const other of [token(null), token(sidOf(1), null), token(sidOf(1), 'default'), token('no id')])
    t.equal(await renew(other), null);
  t.same(uses, []);
});

t.test('a store that hangs keeps nobody, and is left alone for a while', async (t) => {
  let hangs = true;
  const { clock, uses, renew, token } = arrange({ hold: () => (hangs ? new Promise(() => {}) : Promise.resolve()) });
  clock.advance(60);
  t.match(await renew(), { outcome: 'failed', renewed: null, cause: Error });
  t.same(await renew(token(sidOf(2))), { outcome: 'failed', renewed: null }, 'others do not wait for it');
  t.equal(uses.length, 1);
  hangs = false;
  clock.advance(1);
  t.match(await renew(token(sidOf(2))), { outcome: 'renewed' });
});

t.test('a late answer of the store is not lost', async (t) => {
  let answer = () => {};
  const { clock, uses, renew } = arrange({
    hold: () =>
      new Promise<void>((resolve) => {
        answer = resolve;
      }),
  });
  clock.advance(60);
  t.match(await renew(), { outcome: 'failed' });
  answer();
  await new Promise(setImmediate);
  t.match(await renew(), { outcome: 'repeated', renewed: { accessToken: 'token 0' } });
  t.equal(uses.length, 1);
});

t.test('a failure is forgotten, and the next request tries again', async (t) => {
  let fails = true;
  const { clock, renew } = arrange({ hold: () => (fails ? Promise.reject(new Error('away')) : Promise.resolve()) });
  clock.advance(60);
  t.match(await renew(), { outcome: 'failed', cause: { message: 'away' } });
  fails = false;
  clock.advance(1);
  t.match(await renew(), { outcome: 'renewed' });
});

t.test('what is kept does not grow with the sessions', async (t) => {
  const { clock, uses, renew, token } = arrange();
  clock.advance(60);
  for (let n = 0; n < 6000; n++) await renew(token(sidOf(n)));
  uses.splice(0);
  t.match(await renew(token(sidOf(5999))), { outcome: 'repeated' });
  t.match(await renew(token(sidOf(0))), { outcome: 'renewed' }, 'the first one was forgotten, and costs a statement');
  t.same(
    uses.map(({ sessionId }) => sessionId),
    [sidOf(0) as SessionId],
  );
});

t.test('a store that hangs is tried by one at a time once it is known to', async (t) => {
  const { clock, uses, renew, token } = arrange({ hold: () => new Promise(() => {}) });
  clock.advance(60);
  await renew();
  clock.advance(1);
  uses.splice(0);
  const results = await Promise.all(Array.from({ length: 100 }, (_, n) => renew(token(sidOf(n)))));
  t.equal(uses.length, 1);
  t.equal(results.filter((result) => result?.cause !== undefined).length, 1, 'and one says so in the log');
});

t.test('a token counts from the use that was written down, whichever node did', async (t) => {
  const { clock, renew } = arrange({ writtenAgo: 30 });
  clock.advance(60);
  t.match(await renew(), { renewed: { iat: seconds(clock.now()) - 30 } });
});
