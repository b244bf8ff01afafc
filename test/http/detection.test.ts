/** Somebody who has used Keyturn from Berlin for weeks, and a copy of the session in Sydney. */
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { createDetectionStore } from '../../src/adapters/postgres/detection-store.js';
import type { Policy } from '../../src/domain/anomalies/policy.js';
import type { NewClient } from '../../src/domain/clients.js';
import type { UserId } from '../../src/domain/types.js';
import { profileOf, sessionOf, use } from '../support/activities.js';
import { adminTokens } from '../support/administrator.js';
import { fastDatabase } from '../support/databases.js';
import { CURL, FAR, FIREFOX, HOME, twoPlaces } from '../support/detection.js';
import { samplesOf } from '../support/metrics.js';
import { oauthOf } from '../support/oauth.js';
import {
  codeOf,
  PASSWORD,
  rowOf,
  rowsOf,
  type ServiceOptions,
  startService,
  type Tokens,
  testKeks,
} from '../support/service.js';
import { claimsOf, delivered } from '../support/sliding.js';
import { watched } from '../support/watched-database.js';

const database = watched(await fastDatabase(t));
const keks = testKeks();
const DAYS = 16;
const MINUTE = 60;
const HOUR = 3600;
const GATEWAY = '10.9.9.9';

let people = 0;

/** A service, a client with the policy, and a user of it who has been in Berlin for weeks. */
async function atHome(
  t: Test,
  policy: Policy,
  { more = {}, ...options }: ServiceOptions & { more?: Partial<NewClient> } = {},
) {
  const service = await startService(t, { database, keks, places: twoPlaces, ...options });
  const { clock, services } = service;
  const name = `app${++people}`;
  const email = `ada@${name}.example`;
  const fields = { name, type: 'public', audiences: ['api'], anomalyPolicy: policy } as const;
  await services.clients.create({ ...fields, clientId: name, ...more });
  const userId = await service.register(email);

  const from =
    (remoteAddress: string, userAgent: string) =>
    (url: string, payload: object, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> =>
      service.call({ method: 'POST', url, remoteAddress, payload, headers: { 'user-agent': userAgent, ...headers } });
  const [home, far] = [from(HOME, FIREFOX), from(FAR, CURL)];
  const loginAt = (there: typeof home) => there('/v1/login', { email, password: PASSWORD, client_id: name });
  const refreshAt = (there: typeof home, refresh_token: string, key?: string, more: object = {}) =>
    there('/v1/refresh', { refresh_token, ...more }, key === undefined ? {} : { 'idempotency-key': key });
  const detect = () => services.detection.run();
  return { service, clock, name, email, userId, home, far, from, loginAt, refreshAt, detect };
}

type Who = Awaited<ReturnType<typeof atHome>>;

/** Two refreshes a day for weeks; the tokens that are then current. */
async function forWeeks({ clock, home, loginAt, refreshAt, detect }: Who): Promise<Tokens> {
  let tokens: Tokens = (await loginAt(home)).json();
  for (let day = 0; day < DAYS; day++) {
    for (const hours of [6, 18]) {
      clock.advance(hours * HOUR);
      tokens = (await refreshAt(home, tokens.refresh_token)).json();
      await detect();
    }
  }
  return tokens;
}

/** The profile of such a user, without all the requests. */
async function seeded({ service, clock, userId }: Who): Promise<void> {
  const uses = Array.from({ length: 2 * DAYS }, (_, half) =>
    use(clock.now() + half * 12 * HOUR * 1000, { userId: userId as UserId, sessionId: sessionOf(half), ip: HOME }),
  );
  const profile = profileOf(uses);
  clock.advance(DAYS * 24 * HOUR);
  await createDetectionStore(service.database).keep(
    [{ userId: userId as UserId, profile, version: null }],
    clock.now(),
  );
}

/** Logged in at home, and seen there. */
async function settle(who: Who, weeks?: typeof forWeeks) {
  const { home, loginAt, detect } = who;
  if (weeks === undefined) await seeded(who);
  const tokens: Tokens = weeks === undefined ? (await loginAt(home)).json() : await weeks(who);
  await detect();
  const session = `id = '${tokens.session_id}'`;
  return {
    tokens,
    sid: tokens.session_id,
    row: () => rowOf(database, 'sessions', session),
    events: async () =>
      (await rowsOf(database, 'audit_events', `session_id = '${tokens.session_id}' ORDER BY id`))
        .map(({ event, details }) => ({ event, details }))
        .filter(({ event }) => event !== 'login.succeeded'),
  };
}

/** Ten minutes after the user, from another continent, with another client. */
async function stolen(t: Test, policy: Policy, options: Parameters<typeof atHome>[2] = {}, weeks?: typeof forWeeks) {
  const who = await atHome(t, policy, options);
  const session = await settle(who, weeks);
  t.strictSame(await session.events(), [], 'nothing is said of the user');
  who.clock.advance(10 * MINUTE);
  const answer = await who.refreshAt(who.far, session.tokens.refresh_token, 'k1');
  t.equal(answer.statusCode, 200, 'nobody waits for it');
  const current: Tokens = answer.json();
  await who.detect();
  return { ...who, ...session, current };
}

const sessionsOf = async ({ service }: Pick<Who, 'service'>, token: string) =>
  (await service.get('/v1/sessions', token)).json().sessions;

t.test('with the policy flag the user sees it and why, and can end the session', async (t) => {
  const who = await stolen(t, 'flag', {}, forWeeks);
  const { service, current, sid, events, refreshAt, home, clock } = who;
  const [{ flagged }] = await sessionsOf(who, current.access_token);
  t.equal(flagged.at, new Date(clock.now()).toISOString());
  t.match(flagged.reasons.join('; '), /Berlin to Sydney, 16,000 km, in 10 min/);
  t.match(await events(), [{ event: 'session.flagged', details: { action: 'flag', score: Number } }]);
  const next: Tokens = (await refreshAt(home, current.refresh_token)).json();
  const headers = { authorization: `Bearer ${next.access_token}` };
  t.equal((await service.call({ method: 'DELETE', url: `/v1/sessions/${sid}`, headers })).statusCode, 204);
  t.equal(codeOf(await refreshAt(home, next.refresh_token)), 'session_revoked');
});

t.test('with the policy observe nothing is done', async (t) => {
  const who = await stolen(t, 'observe');
  t.strictSame(await who.events(), []);
  const [{ flagged }] = await sessionsOf(who, who.current.access_token);
  t.equal(flagged, null);
  const samples = samplesOf(await who.service.metrics.text(), 'keyturn_anomalies_total');
  t.match(samples, { 'action="observe"': 1, 'action="flag"': 0 });
});

t.test('with the policy revoke the session and its tokens are good no more', async (t) => {
  const { service, current, events, row, userId, refreshAt, home } = await stolen(t, 'revoke');
  t.equal(codeOf(await refreshAt(home, current.refresh_token)), 'session_revoked');
  t.equal(codeOf(await service.get('/v1/authorize?audience=api', current.access_token)), 'token_revoked');
  t.match(await events(), [{ event: 'session.revoked_by_detection', details: { action: 'revoke' } }]);
  t.match(await row(), { revoke_reason: 'anomaly' });
  const { profile } = await rowOf(database, 'user_profiles', `user_id = '${userId}'`);
  t.notMatch(JSON.stringify(profile), /Sydney/, 'a thief’s habits are not the user’s');
});

t.test('with the policy step_up the session goes on with the password alone', async (t) => {
  const { service, current, events, row, refreshAt, home, far } = await stolen(t, 'step_up');
  for (const [there, key] of [
    [home, 'k2'],
    [far, 'k2'],
    [far, undefined],
  ] as const) {
    const refused = await refreshAt(there, current.refresh_token, key);
    t.strictSame([refused.statusCode, codeOf(refused)], [401, 'password_required']);
    t.match(refused.headers['www-authenticate'], /^Bearer .*error="insufficient_user_authentication"/);
  }
  t.equal(
    (await service.get('/v1/me', current.access_token)).statusCode,
    200,
    'the access token is good until its end',
  );

  const wrong = await refreshAt(far, current.refresh_token, 'k2', { password: 'not the password' });
  t.strictSame([wrong.statusCode, codeOf(wrong)], [403, 'wrong_password']);
  t.equal(codeOf(await refreshAt(home, current.refresh_token, 'k2')), 'password_required');

  const right = await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  t.equal(right.statusCode, 200);
  t.equal(right.headers['keyturn-refresh-outcome'], 'rotated');
  t.match(await row(), { step_up_at: null });
  const names = (await events()).map(({ event }) => event);
  t.strictSame(names, ['session.flagged', 'session.step_up_failed', 'session.stepped_up']);
  const next: Tokens = right.json();
  t.equal((await refreshAt(home, next.refresh_token, 'k3')).statusCode, 200, 'and then without it');
});

t.test('what was said before the demand is not repeated without the password, and is with it', async (t) => {
  const { tokens, current, row, events, refreshAt, home, far } = await stolen(t, 'step_up');
  // The thief has the user's key as well; he may not even have got the answer.
  t.equal(codeOf(await refreshAt(far, tokens.refresh_token, 'k1')), 'password_required');
  t.equal(codeOf(await refreshAt(far, tokens.refresh_token)), 'password_required', 'nor within the leeway');
  const replay = await refreshAt(home, tokens.refresh_token, 'k1', { password: PASSWORD });
  t.equal(replay.headers['keyturn-refresh-outcome'], 'replayed');
  t.equal(replay.json().refresh_token, current.refresh_token);
  t.match(await row(), { step_up_at: null, generation: 1 });
  t.match((await events()).at(-1), { event: 'session.stepped_up' });
});

t.test('of parallel requests with the password and one key one rotates, and all get the same', async (t) => {
  const { current, events, refreshAt, home } = await stolen(t, 'step_up');
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD })),
  );
  t.equal(new Set(answers.map((answer) => answer.json().refresh_token)).size, 1);
  const outcomes = answers.map(({ headers }) => headers['keyturn-refresh-outcome']);
  t.equal(outcomes.filter((outcome) => outcome === 'rotated').length, 1);
  t.equal((await events()).filter(({ event }) => event === 'session.stepped_up').length, 1);
});

t.test('a password that nobody has asked for is not looked at', async (t) => {
  const { refreshAt, home, tokens } = await stolen(t, 'observe');
  const answer = await refreshAt(home, tokens.refresh_token, 'k1', { password: 'not the password' });
  t.equal(answer.headers['keyturn-refresh-outcome'], 'replayed');
});

t.test('a token that is no more than old ends the session, whatever is demanded', async (t) => {
  const { tokens, clock, refreshAt, far } = await stolen(t, 'step_up');
  clock.advance(HOUR);
  t.equal(codeOf(await refreshAt(far, tokens.refresh_token, 'another')), 'refresh_token_reused');
});

t.test('wrong passwords are counted once each, for the session and the address', async (t) => {
  const { current, refreshAt, far, home, loginAt } = await stolen(t, 'step_up', { env: { LIMIT_FAILURES: '4' } });
  const guess = () => refreshAt(far, current.refresh_token, 'k2', { password: 'a guess' });
  for (let i = 0; i < 3; i++) t.equal(codeOf(await guess()), 'wrong_password');
  t.equal((await loginAt(far)).statusCode, 200, 'the address is not blocked by three');
  t.equal(codeOf(await guess()), 'wrong_password');
  const blocked = await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  t.equal(codeOf(blocked), 'too_many_attempts', 'nobody goes on guessing at this session');
  t.equal(codeOf(await loginAt(far)), 'too_many_attempts');
});

t.test('at the token endpoint it is an invalid grant that says why', async (t) => {
  const { service, current, name } = await stolen(t, 'step_up');
  const form = { grant_type: 'refresh_token', refresh_token: current.refresh_token, client_id: name };
  const answer = await oauthOf(service).send('/oauth/token', form);
  t.equal(answer.statusCode, 400);
  t.match(answer.json(), { error: 'invalid_grant', error_description: /password/ });
});

t.test('a service that refreshes for its users says nothing of where they are', async (t) => {
  const who = await atHome(t, 'flag');
  const { tokens, events } = await settle(who);
  const { service, clock, detect } = who;
  const shop = await oauthOf(service).confidential(`shop${people}`);
  clock.advance(10 * MINUTE);
  await service.call({
    method: 'POST',
    url: '/oauth/token',
    remoteAddress: FAR,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...shop.basic },
    payload: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }).toString(),
  });
  await detect();
  t.strictSame(await events(), []);
});

t.test('a check counts where a trusted proxy tells of the address, and only there', async (t) => {
  for (const [trusted, names] of [
    ['', []],
    [GATEWAY, ['session.flagged']],
  ] as const) {
    const who = await atHome(t, 'flag', { env: { TRUST_PROXY: trusted } });
    const { tokens, events } = await settle(who);
    who.clock.advance(10 * MINUTE);
    const answer = await who.service.call({
      method: 'GET',
      url: '/v1/authorize?audience=api',
      remoteAddress: GATEWAY,
      headers: { authorization: `Bearer ${tokens.access_token}`, 'x-forwarded-for': FAR, 'user-agent': CURL },
    });
    t.equal(answer.statusCode, 200);
    await who.detect();
    t.strictSame(
      (await events()).map(({ event }) => event),
      names,
    );
  }
});

t.test('a token in a header is not renewed while the password is due, and good to its end', async (t) => {
  const more = { tokenDelivery: 'header', idleTtl: 12 * HOUR, accessTokenTtl: 12 * HOUR } as const;
  const who = await atHome(t, 'step_up', { more });
  const { service, clock, detect, home, loginAt, userId } = who;
  const ask = (token: string, remoteAddress: string, userAgent: string) =>
    service.call({
      method: 'GET',
      url: '/v1/me',
      remoteAddress,
      headers: { authorization: `Bearer ${token}`, 'user-agent': userAgent },
    });
  await seeded(who);
  const token = delivered(await loginAt(home)) ?? '';
  await detect();
  const { sid } = claimsOf(token);
  clock.advance(10 * MINUTE);
  t.not(delivered(await ask(token, FAR, CURL)), null, 'the use by which it was found out');
  await detect();
  t.not((await rowOf(database, 'sessions', `id = '${sid}'`)).step_up_at, null);
  clock.advance(10 * MINUTE);
  const answer = await ask(token, FAR, CURL);
  t.equal(answer.statusCode, 200);
  t.equal(answer.json().id, userId);
  t.equal(delivered(answer), null);
});

t.test('administrators see what was done and why, page by page', async (t) => {
  const { service, userId, sid, name, current, refreshAt, home } = await stolen(t, 'step_up');
  await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  const { access_token: admin } = await adminTokens(service, `root${people}@example.com`);
  const list = async (query: string) => (await service.get(`/v1/admin/anomalies?${query}`, admin)).json();
  const first = await list(`user=${userId}&limit=1`);
  t.match(first.anomalies, [{ event: 'session.stepped_up', action: null, findings: [], session_id: sid }]);
  const second = await list(`user=${userId}&cursor=${first.next_cursor}`);
  t.equal(second.next_cursor, null);
  t.equal(second.anomalies.length, 1);
  t.match(second.anomalies[0], {
    event: 'session.flagged',
    action: 'step_up',
    score: Number,
    user_id: userId,
    session_id: sid,
    client_id: name,
    ip: FAR,
    place: 'Sydney, AU',
    user_agent: CURL,
    findings: [{ signal: String, weight: Number, why: String }],
  });
  t.strictSame(await list(`user=${userId}&since=2100-01-01T00:00:00Z`), { anomalies: [], next_cursor: null });
});

t.test('a refresh takes one statement, as ever, and does not wait for a detection that hangs or fails', async (t) => {
  const problems = {
    hangs: () => new Promise<never>(() => {}),
    fails: () => Promise.reject(new Error('no profiles')),
  };
  for (const [what, happens] of Object.entries(problems)) {
    const broken = {
      ...database,
      query: <Row>(statement: { name: string; text: string }, values: readonly unknown[]): Promise<Row[]> =>
        statement.name.startsWith('profile_') ? happens() : database.query<Row>(statement, values),
    };
    const { service, home, loginAt, refreshAt, detect } = await atHome(t, 'revoke', { database: broken });
    let tokens: Tokens = (await loginAt(home)).json();
    const running = detect().catch((error: Error) => error.message);
    tokens = (await refreshAt(home, tokens.refresh_token)).json();
    service.clock.advance(HOUR);
    await service.services.keys.load();
    await service.services.revocations.follow();
    database.asked();
    const answer = await service.app.inject({
      method: 'POST',
      url: '/v1/refresh',
      remoteAddress: FAR,
      headers: { 'user-agent': CURL },
      payload: { refresh_token: tokens.refresh_token },
    });
    t.equal(answer.statusCode, 200, what);
    t.strictSame(database.asked(), ['session_rotate'], what);
    if (what === 'fails') {
      t.equal(await running, 'no profiles');
      await t.rejects(detect());
      const dropped = samplesOf(await service.metrics.text(), 'keyturn_detection_dropped_total');
      t.strictSame(dropped, { '': 3 });
    }
  }
});

t.test('turned off, nothing is remembered of anybody', async (t) => {
  const { userId, home, loginAt, detect } = await atHome(t, 'flag', { env: { ANOMALY_DETECTION: 'false' } });
  await loginAt(home);
  await detect();
  t.strictSame(await rowsOf(database, 'user_profiles', `user_id = '${userId}'`), []);
});
