/** What is done about a session that is copied, by the policy of its client, and who sees it. */
import t from 'tap';
import { adminTokens } from '../support/administrator.js';
import { atHome, forWeeks, settle, stolen, type Who } from '../support/at-home.js';
import { fastDatabase } from '../support/databases.js';
import { CURL, FAR } from '../support/detection.js';
import { samplesOf } from '../support/metrics.js';
import { oauthOf } from '../support/oauth.js';
import { codeOf, execute, PASSWORD, rowOf, rowsOf, type Tokens } from '../support/service.js';
import { watched } from '../support/watched-database.js';

const database = watched(await fastDatabase(t));
const MINUTE = 60;
const HOUR = 3600;
const GATEWAY = '10.9.9.9';

const sessionsOf = async ({ service }: Pick<Who, 'service'>, token: string) =>
  (await service.get('/v1/sessions', token)).json().sessions;

t.test('with the policy flag the user sees it and why, and can end the session', async (t) => {
  const who = await stolen(t, 'flag', { database }, forWeeks);
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
  const who = await stolen(t, 'observe', { database });
  t.strictSame(await who.events(), []);
  const [{ flagged }] = await sessionsOf(who, who.current.access_token);
  t.equal(flagged, null);
  const samples = samplesOf(await who.service.metrics.text(), 'keyturn_anomalies_total');
  t.match(samples, { 'action="observe"': 1, 'action="flag"': 0 });
});

t.test('with the policy revoke the session and its tokens are good no more', async (t) => {
  const { service, current, events, row, userId, refreshAt, home } = await stolen(t, 'revoke', { database });
  t.equal(codeOf(await refreshAt(home, current.refresh_token)), 'session_revoked');
  t.equal(codeOf(await service.get('/v1/authorize?audience=api', current.access_token)), 'token_revoked');
  t.match(await events(), [{ event: 'session.revoked_by_detection', details: { action: 'revoke' } }]);
  t.match(await row(), { revoke_reason: 'anomaly' });
  const { profile } = await rowOf(database, 'user_profiles', `user_id = '${userId}'`);
  t.notMatch(JSON.stringify(profile), /Sydney/, 'a thief’s habits are not the user’s');
});

t.test('a service that refreshes for its users says nothing of where they are', async (t) => {
  const who = await atHome(t, 'flag', { database });
  const { tokens, events } = await settle(who);
  const { service, clock, detect } = who;
  // Its user has logged in there.
  const shop = await oauthOf(service).confidential(`shop-${who.name}`);
  await execute(database, `UPDATE sessions SET client_id = '${shop.clientId}' WHERE id = '${tokens.session_id}'`);
  clock.advance(10 * MINUTE);
  const answer = await service.call({
    method: 'POST',
    url: '/oauth/token',
    remoteAddress: FAR,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...shop.basic },
    payload: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }).toString(),
  });
  t.equal(answer.headers['keyturn-refresh-outcome'], 'rotated');
  await detect();
  t.strictSame(await events(), []);
});

t.test('a check counts where a trusted proxy tells of the address, and only there', async (t) => {
  const told = { 'x-forwarded-for': FAR };
  const rows: [trusted: string, gateway: string, headers: Record<string, string>, names: string[]][] = [
    ['', FAR, {}, []],
    ['', FAR, told, []],
    [FAR, FAR, {}, []],
    [GATEWAY, GATEWAY, told, ['session.flagged']],
  ];
  for (const [trusted, gateway, headers, names] of rows) {
    const who = await atHome(t, 'flag', { database, env: { TRUST_PROXY: trusted } });
    const { tokens, events } = await settle(who);
    who.clock.advance(10 * MINUTE);
    const answer = await who.service.call({
      method: 'GET',
      url: '/v1/authorize?audience=api',
      remoteAddress: gateway,
      headers: { authorization: `Bearer ${tokens.access_token}`, 'user-agent': CURL, ...headers },
    });
    t.equal(answer.statusCode, 200);
    await who.detect();
    t.strictSame(
      (await events()).map(({ event }) => event),
      names,
    );
  }
});

t.test('administrators see what was done and why, page by page', async (t) => {
  const { service, userId, sid, name, current, refreshAt, home } = await stolen(t, 'step_up', { database });
  await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  const { access_token: admin } = await adminTokens(service, `root${name}@example.com`);
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
  const { userId, home, loginAt, detect } = await atHome(t, 'flag', { database, env: { ANOMALY_DETECTION: 'false' } });
  await loginAt(home);
  await detect();
  t.strictSame(await rowsOf(database, 'user_profiles', `user_id = '${userId}'`), []);
});
