/** What is counted: refreshes by outcome, requests by route. The clock is moved; the counters are read as a scrape does. */
import type { InjectOptions } from 'fastify';
import t from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createMetrics } from '../../src/adapters/prometheus/metrics.js';
import { Refusal } from '../../src/domain/errors.js';
import { countedOutcomes } from '../../src/domain/refresh-outcome.js';
import { formatRefreshToken } from '../../src/domain/refresh-token.js';
import type { SessionId } from '../../src/domain/types.js';
import { buildMetricsApp } from '../../src/http/metrics-app.js';
import { createLogger } from '../../src/logger.js';
import { fastDatabase } from '../support/databases.js';
import { refreshesIn, samplesOf } from '../support/metrics.js';
import { execute, rowOf, startService, type Tokens, testKeks } from '../support/service.js';
import { tampered } from '../support/sessions.js';

const database = await fastDatabase(t);
const keks = testKeks();
const service = await startService(t, { database, keks });
let people = 0;

async function loggedIn() {
  const email = `person-${++people}@example.com`;
  await service.register(email);
  return { email, tokens: await service.login(email) };
}

interface Situation extends Awaited<ReturnType<typeof loggedIn>> {
  /** The token that the first one was exchanged for, with the key `k1`. */
  next: string;
}

const first = ({ tokens }: Situation) => tokens.refresh_token;
const change = (set: string) => async (s: Situation) => {
  await execute(database, `UPDATE sessions SET ${set} WHERE id = '${s.tokens.session_id}'`);
  return s.next;
};

/** What is sent after one rotation; with which key, how many seconds later. */
const cases: Record<string, { token: (s: Situation) => string | Promise<string>; key?: string; after?: number }> = {
  rotated: { token: ({ next }) => next, key: 'k2' },
  replayed: { token: first, key: 'k1', after: 3600 },
  concurrent: { token: first },
  superseded: {
    token: async (s) => {
      await service.refresh(s.next, 'k2');
      return first(s);
    },
    key: 'k1',
    after: 3600,
  },
  reused: { token: first, key: 'other', after: 3600 },
  expired: { token: ({ next }) => next, after: 14 * 86_400 },
  revoked: {
    token: async ({ next }) => {
      await service.post('/v1/logout', { refresh_token: next });
      return next;
    },
  },
  invalid: { token: ({ next }) => tampered(next, 'tag') },
  ahead_of_store: { token: change(`generation = 0, rotations = '[]'`) },
  secret_mismatch: { token: async ({ tokens }) => forged(tokens) },
  key_reused: { token: ({ next }) => next, key: 'k1' },
  account_disabled: {
    token: async ({ email, next }) => {
      await execute(database, `UPDATE users SET disabled_at = now() WHERE email = '${email}'`);
      return next;
    },
  },
  role_required: { token: change(`client_id = 'keyturn-admin'`) },
};

/** A right tag for a wrong secret, which takes the database. */
async function forged({ session_id: id }: Tokens): Promise<string> {
  const { family_key: familyKey } = await rowOf(database, 'sessions', `id = '${id}'`);
  return formatRefreshToken(id as SessionId, 1, new Uint8Array(32), familyKey as Uint8Array);
}

for (const [outcome, { token, key, after = 0 }] of Object.entries(cases)) {
  t.test(`a refresh that is ${outcome} is counted as that, once`, async (t) => {
    const who = await loggedIn();
    const { refresh_token: next } = (await service.refresh(who.tokens.refresh_token, 'k1')).json();
    const presented = await token({ ...who, next });
    service.clock.advance(after);
    t.same(await refreshesIn(service.metrics, () => service.refresh(presented, key)), { [outcome]: 1 });
  });
}

t.test('what the service cannot answer is counted as its own trouble', async (t) => {
  const { tokens } = await loggedIn();
  const refresh: InjectOptions = {
    method: 'POST',
    url: '/v1/refresh',
    payload: { refresh_token: tokens.refresh_token },
  };
  service.clock.advance(601);
  t.same(
    await refreshesIn(service.metrics, () => service.app.inject(refresh)),
    { unavailable: 1 },
    'keys unread too long',
  );
});

t.test('what goes wrong in the rotation is counted by what it was', async (t) => {
  let rotate: () => Promise<never[]> = async () => [];
  const query: Database['query'] = (statement, values) =>
    statement.name === 'session_rotate' ? rotate() : database.query(statement, values);
  const broken = await startService(t, { database: { ...database, query }, keks });
  const email = `person-${++people}@example.com`;
  await broken.register(email);
  const { refresh_token: token } = await broken.login(email);
  const refreshes = () => refreshesIn(broken.metrics, () => broken.refresh(token));
  t.same(await refreshes(), { overloaded: 1 }, 'the row that it saw kept changing');
  rotate = () => Promise.reject(new Refusal('store_unavailable'));
  t.same(await refreshes(), { unavailable: 1 });
  rotate = () => Promise.reject(new Error('a fault of ours'));
  t.same(await refreshes(), { error: 1 });
});

t.test('the token endpoint is counted with the rest, and so is what is no token at all', async (t) => {
  const { tokens } = await loggedIn();
  const exchange = (token: string) =>
    service.call({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }).toString(),
    });
  t.same(await refreshesIn(service.metrics, () => exchange(tokens.refresh_token)), { rotated: 1 });
  t.same(await refreshesIn(service.metrics, () => exchange('x')), { invalid: 1 });
  t.same(await refreshesIn(service.metrics, () => service.refresh('x')), { invalid: 1 });
});

t.test('every outcome is there from the start', async (t) => {
  const samples = samplesOf(await createMetrics().text(), 'keyturn_refresh_total');
  t.same(samples, Object.fromEntries(countedOutcomes.map((outcome) => [`outcome="${outcome}"`, 0])));
});

t.test('requests are told apart by route, whatever is asked for', async (t) => {
  const { app, metrics } = await startService(t, { database, keks });
  for (const url of ['/nothing', '/v1/secret-of-somebody', '/%zz', '/livez?x=1', '/livez']) await app.inject({ url });
  for (const id of ['1', '2']) await app.inject({ method: 'DELETE', url: `/v1/sessions/${id}` });
  await app.inject({ method: 'PURGE' as 'GET', url: '/livez' });
  t.same(samplesOf(await metrics.text(), 'keyturn_http_request_duration_seconds_count'), {
    'method="GET",route="unmatched",status="404"': 2,
    'method="GET",route="unmatched",status="400"': 1,
    'method="GET",route="/livez",status="400"': 1,
    'method="GET",route="/livez",status="200"': 1,
    'method="DELETE",route="/v1/sessions/:id",status="400"': 2,
    'method="other",route="/livez",status="405"': 1,
  });
});

t.test('the port of the metrics serves them and nothing else', async (t) => {
  const metrics = createMetrics({ ofProcess: true, pool: () => ({ total: 5, idle: 3, waiting: 1 }) });
  const app = await buildMetricsApp(metrics, createLogger('silent'));
  t.teardown(() => app.close());
  const { statusCode, headers, body } = await app.inject('/metrics');
  t.equal(statusCode, 200);
  t.match(headers, { 'content-type': /^text\/plain; version=0\.0\.4/, 'cache-control': 'no-store' });
  t.same(samplesOf(body, 'keyturn_database_connections'), { 'state="used"': 2, 'state="idle"': 3 });
  t.same(samplesOf(body, 'keyturn_database_waiting'), { '': 1 });
  t.match(body, /^process_resident_memory_bytes /m);
  t.match(body, /^nodejs_eventloop_lag_p99_seconds /m);

  const head = await app.inject({ method: 'HEAD', url: '/metrics' });
  t.same([head.statusCode, head.body], [200, '']);
  for (const request of [
    { url: '/' },
    { url: '/livez' },
    { url: '/metrics/' },
    { method: 'POST', url: '/metrics' },
    { method: 'POST', url: '/metrics', headers: { 'content-type': 'text/unknown' }, payload: 'x' },
  ] as InjectOptions[]) {
    t.equal((await app.inject(request)).statusCode, 404, `${request.method ?? 'GET'} ${request.url}`);
  }
  t.equal((await service.get('/metrics')).statusCode, 404, 'and the public port does not');
});
