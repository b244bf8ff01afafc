/** What is left behind when an old refresh token is used again: one audit event that says how old it was, and from where. */
import t from 'tap';
import { refreshesIn } from '../support/metrics.js';
import { codeOf, rowOf, rowsOf, startService } from '../support/service.js';

const THIEF = '198.51.100.7';
const service = await startService(t, {
  env: { TRUST_PROXY: '127.0.0.1' },
  places: { placeOf: (ip) => (ip === THIEF ? 'Berlin, DE' : null) },
});
const { clock, database } = service;
let people = 0;

/** A session that was rotated `times` times, a minute apart. */
async function rotated(times: number) {
  const email = `person-${++people}@example.com`;
  const userId = await service.register(email);
  const { session_id: sessionId, refresh_token: stolen } = await service.login(email);
  let token = stolen;
  for (let n = 1; n <= times; n++) {
    clock.advance(60);
    token = (await service.refresh(token, `k${n}`)).json().refresh_token;
  }
  const events = `event = 'refresh.reused' AND session_id = '${sessionId}'`;
  return { userId, sessionId, stolen, event: () => rowOf(database, 'audit_events', events), events };
}

const use = (token: string, key?: string) =>
  service.post(
    '/v1/refresh',
    { refresh_token: token },
    {
      'x-forwarded-for': THIEF,
      'user-agent': 'Thief/1.0',
      'x-request-id': 'the-theft',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
  );

t.test('the event says whose session it was, who used the token, and how old it was', async (t) => {
  const { userId, sessionId, stolen, event } = await rotated(2);
  clock.advance(3600);
  t.equal(codeOf(await use(stolen, 'another')), 'refresh_token_reused');
  const { id: _, ...rest } = await event();
  t.same(rest, {
    at: new Date(clock.now()),
    event: 'refresh.reused',
    outcome: 'failure',
    actor: 'anonymous',
    user_id: userId,
    session_id: sessionId,
    client_id: 'default',
    jti: null,
    ip: THIEF,
    place: 'Berlin, DE',
    user_agent: 'Thief/1.0',
    request_id: 'the-theft',
    // The first of the two rotations used it up: a minute before the second one.
    details: { presented: 0, stored: 2, generations_ago: 2, used_up_s_ago: 3660, with_key: true },
  });
});

t.test('how long ago a token was used up is known for the last four rotations', async (t) => {
  const four = await rotated(4);
  clock.advance(10);
  await use(four.stolen);
  t.match(await four.event(), { details: { generations_ago: 4, used_up_s_ago: 190, with_key: false } });

  const five = await rotated(5);
  await use(five.stolen);
  t.match(await five.event(), { details: { presented: 0, stored: 5, generations_ago: 5, used_up_s_ago: null } });
});

t.test('of uses at one moment one leaves the event, and each is counted as what it was told', async (t) => {
  const { stolen, events } = await rotated(1);
  clock.advance(3600);
  const codes: Record<string, number> = {};
  const counted = await refreshesIn(service.metrics, async () => {
    for (const response of await Promise.all(Array.from({ length: 10 }, () => use(stolen)))) {
      codes[codeOf(response)] = (codes[codeOf(response)] ?? 0) + 1;
    }
  });
  const { refresh_token_reused: reused = 0, session_revoked: revoked = 0 } = codes;
  t.ok(reused >= 1);
  t.equal(reused + revoked, 10);
  t.same(counted, { reused, ...(revoked === 0 ? {} : { revoked }) });
  t.equal((await rowsOf(database, 'audit_events', events)).length, 1);
  t.same(
    await refreshesIn(service.metrics, () => use(stolen)),
    { revoked: 1 },
    'and later ones find the session ended',
  );
  t.equal((await rowsOf(database, 'audit_events', events)).length, 1);
});
