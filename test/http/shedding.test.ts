/** What is served while there is too much to do: really, with a blocked event loop and a full queue of hashes. */
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { watchEventLoop } from '../../src/adapters/system/event-loop.js';
import { hashing, neverShed } from '../../src/http/shedding.js';
import { startShedding } from '../../src/jobs/shedding.js';
import { isProblem } from '../support/answers.js';
import { fastDatabase } from '../support/databases.js';
import { samplesOf } from '../support/metrics.js';
import { eventually } from '../support/process.js';
import { PASSWORD, type ServiceOptions, startService, type TestService, testKeks } from '../support/service.js';

const database = await fastDatabase(t);
const keks = testKeks();
const JWKS = '/.well-known/jwks.json';
let people = 0;

async function start(t: Test, options: ServiceOptions = {}) {
  const service = await startService(t, { database, keks, ...options });
  const email = `patient${++people}@example.com`;
  await service.register(email);
  const tokens = await service.login(email);
  const logIn = () => service.post('/v1/login', { email, password: PASSWORD });
  const shed = async () => samplesOf(await service.metrics.text(), 'keyturn_shed_total');
  return { ...service, email, tokens, logIn, shed };
}
function isShed(t: Test, answer: LightMyRequestResponse): void {
  isProblem(t, answer, 503, 'overloaded');
  t.match(answer.headers['retry-after'], /^[1-9]\d*$/);
}

/** Each with the status that it has when nothing is shed; 503 is none of them. */
function requestsOf(
  { get, post, call }: TestService,
  token: string,
): Record<string, () => Promise<LightMyRequestResponse>> {
  return {
    login: () => post('/v1/login', {}),
    register: () => post('/v1/users', {}),
    'password change': () => post('/v1/me/password', {}, { authorization: `Bearer ${token}` }),
    'list for administrators': () => get('/v1/admin/users', token),
    'the same by HEAD': () => call({ method: 'HEAD', url: '/v1/admin/users' }),
    documentation: () => get('/docs/errors'),
    'the document': () => get('/openapi.json'),
    me: () => get('/v1/me', token),
    check: () => get('/v1/authorize?audience=api', token),
    feed: () => get('/v1/revocations', token),
    revocation: () => post('/v1/admin/revocations', {}),
    introspection: () => post('/oauth/introspect'),
    logout: () => post('/v1/logout', { refresh_token: 'no matter' }),
    keys: () => get(JWKS),
    metadata: () => get('/.well-known/oauth-authorization-server'),
    liveness: () => get('/livez'),
    readiness: () => get('/readyz'),
    refresh: () => post('/v1/refresh', { refresh_token: 'no matter' }),
    token: () => post('/oauth/token'),
  };
}

t.test('logins, registrations and lists are shed first, then all but keys, probes and refreshes', async (t) => {
  let delay = 0;
  const env = { LIMIT_EVENT_LOOP_DELAY: '100' };
  const service = await start(t, { env, eventLoop: { delay: () => delay } });
  const requests = requestsOf(service, service.tokens.access_token);
  const shedNow = async () => {
    service.services.shedding.look();
    const names: string[] = [];
    for (const [name, ask] of Object.entries(requests)) if ((await ask()).statusCode === 503) names.push(name);
    return names;
  };
  t.strictSame(await shedNow(), []);
  delay = 150;
  const lists = ['list for administrators', 'the same by HEAD'];
  const first = ['login', 'register', 'password change', ...lists, 'documentation', 'the document'];
  t.strictSame(await shedNow(), first);
  delay = 500;
  const second = ['me', 'check', 'feed', 'revocation', 'introspection', 'logout'];
  t.strictSame(await shedNow(), [...first, ...second]);
  isShed(t, await service.logIn());
  t.equal((await service.get('/readyz')).statusCode, 200, 'shedding alone is not unready');
  delay = 0;
  for (let i = 0; i < 10; i++) service.services.shedding.look();
  t.strictSame(await shedNow(), []);
});

t.test('refreshes that wait for one statement are as many callers that wait', async (t) => {
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const slow: Database = {
    ...database,
    pool: () => ({ total: 1, idle: 0, waiting: 1 }),
    async query(statement, values) {
      if (statement.name.startsWith('session_rotate')) await answered;
      return database.query(statement, values);
    },
  };
  const { services, tokens } = await start(t, { database: slow, env: { DATABASE_POOL: '1' } });
  const request = { refreshToken: tokens.refresh_token, idempotencyKey: 'k', clientId: null, password: null };
  const caller = { ip: null, place: null, userAgent: null, requestId: 'r' };
  const refreshes = Array.from({ length: 16 }, () => services.refresh({ ...request, caller }));
  await eventually(
    () => services.shedding.look().waiting === 16,
    () => 'they are not counted',
  );
  t.match(services.shedding.look(), { level: 1, strain: 'database', waiting: 16 });
  answer();
  await Promise.all(refreshes);
  t.equal(services.shedding.look().waiting, 1);
});

t.test('while callers queue for the database logins are shed, and refreshes and keys are served', async (t) => {
  let waiting = 0;
  const pool = () => ({ total: 10, idle: 0, waiting });
  const { services, logIn, refresh, get, tokens, shed } = await start(t, { database: { ...database, pool } });
  const look = (times: number) => {
    for (let i = 0; i < times; i++) services.shedding.look();
  };
  waiting = 100;
  look(2);
  isShed(t, await logIn());
  const next = await refresh(tokens.refresh_token);
  t.equal(next.statusCode, 200);
  t.equal((await get('/v1/authorize?audience=api', next.json().access_token)).statusCode, 200);
  waiting = 400;
  look(2);
  isShed(t, await get('/v1/me', next.json().access_token));
  t.equal((await refresh(next.json().refresh_token)).statusCode, 200);
  t.equal((await get(JWKS)).statusCode, 200);
  t.equal((await get('/readyz')).statusCode, 200);
  t.match(await shed(), { 'reason="database"': 2, 'reason="event_loop"': 0 });
  waiting = 0;
  look(10);
  t.equal((await logIn()).statusCode, 200);
});

t.test('somebody who registers a crowd at once does not fill the queue of hashes for all others', async (t) => {
  const env = { ARGON2_CONCURRENCY: '1', ARGON2_QUEUE: '10', LIMIT_FAILURES: '5' };
  const { call, logIn } = await start(t, { env });
  const register = (name: string) =>
    call({
      method: 'POST',
      url: '/v1/users',
      remoteAddress: '192.0.2.66',
      payload: { email: `crowd${name}@example.com`, password: PASSWORD },
    });
  const crowd = Array.from({ length: 40 }, (_, i) => register(`${i}-${people}`));
  const logins = Array.from({ length: 3 }, logIn);
  t.strictSame(new Set((await Promise.all(logins)).map(({ statusCode }) => statusCode)), new Set([200]));
  t.strictSame(new Set((await Promise.all(crowd)).map(({ statusCode }) => statusCode)), new Set([201]));
});

t.test('what the table names is there', async (t) => {
  const { app } = await start(t);
  for (const url of neverShed) t.ok(app.hasRoute({ url, method: 'GET' }) || app.hasRoute({ url, method: 'POST' }), url);
  for (const route of hashing) {
    const [method = '', url = ''] = route.split(' ');
    t.ok(app.hasRoute({ url, method: method as 'POST' }), route);
  }
});

t.test(
  'while the event loop is blocked logins are shed, refreshes and keys are served, and then all is again',
  async (t) => {
    const env = { LIMIT_EVENT_LOOP_DELAY: '60' };
    const { services, logs, logIn, refresh, get, tokens, shed, app } = await start(t, {
      env,
      eventLoop: watchEventLoop(),
    });
    t.teardown(startShedding(services.shedding, app.log));
    let isBlocked = true;
    const block = () => {
      for (const until = performance.now() + 100; performance.now() < until; );
      if (isBlocked) setTimeout(block, 1);
    };
    block();
    await eventually(
      async () => (await logIn()).statusCode === 503,
      () => 'nothing is shed',
    );
    isShed(t, await logIn());
    t.equal((await refresh(tokens.refresh_token)).statusCode, 200);
    t.equal((await get(JWKS)).statusCode, 200);
    t.equal((await get('/readyz')).statusCode, 200);
    isBlocked = false;
    await eventually(
      async () => (await logIn()).statusCode === 200,
      () => 'it does not recover',
    );
    t.ok(Number((await shed())['reason="event_loop"']) >= 2);
    t.match(
      logs.filter(({ msg }) => msg.startsWith('load is shed')).map(({ msg, strain }) => [msg, strain]),
      [['load is shed', 'event_loop']],
      'a line at the beginning',
    );
    t.match(logs.findLast(({ msg }) => msg === 'load is shed no longer')?.shed, Number, 'and at the end');
  },
);

t.test(
  'while the queue of hashes is full logins are shed, refreshes and keys are served, and then all is again',
  async (t) => {
    // While one hash is computed, which takes longer, whoever else logs in is sent away.
    const env = { ARGON2_MEMORY_KIB: '65536', ARGON2_CONCURRENCY: '1', ARGON2_WAIT: '20' };
    const { logIn, refresh, get, tokens, shed } = await start(t, { env });
    const burst = Array.from({ length: 30 }, logIn);
    t.equal((await refresh(tokens.refresh_token)).statusCode, 200);
    t.equal((await get(JWKS)).statusCode, 200);
    const answers = await Promise.all(burst);
    t.strictSame(new Set(answers.map(({ statusCode }) => statusCode)), new Set([200, 503]));
    const refused = answers.filter(({ statusCode }) => statusCode === 503);
    for (const answer of refused) isShed(t, answer);
    t.equal((await shed())['reason="hashes"'], refused.length, 'each of them is counted');
    await eventually(
      async () => (await logIn()).statusCode === 200,
      () => 'it does not recover',
    );
  },
);
