/** Two processes on one PostgreSQL and one Redis, which come and go. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import { postgresUrl, withoutPostgres, withoutRedis } from '../support/databases.js';
import { startFaultProxy } from '../support/fault-proxy.js';
import {
  type Answer,
  eventually,
  generationOf,
  launch,
  runToEnd,
  type ServiceProcess,
  stopByPid,
  temporaryFolder,
} from '../support/process.js';
import { freePort, startPostgres, startRedis } from '../support/servers.js';
import { PASSWORD } from '../support/service.js';

type Started<T> = Exclude<Awaited<T>, null>;

interface World {
  postgres: Started<ReturnType<typeof startPostgres>>;
  redis: Started<ReturnType<typeof startRedis>>;
  one: ServiceProcess;
  other: ServiceProcess;
  env: Record<string, string>;
  /** Asks the database itself. */
  ask<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>;
}

/** An empty database, an empty Redis, and two processes that are started at the same moment. */
async function startWorld(t: Test): Promise<World> {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  if (postgres === null || redis === null) throw new Error('the servers of this test come from the machine');
  const world = { postgres, redis };
  t.teardown(() => Promise.all([world.postgres.stop(), world.redis.stop()]));

  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  await runToEnd(t, ['keys', 'new-kek'], { KEYS_DIR });
  const env = {
    NODE_ENV: 'production',
    ISSUER: 'https://auth.example.com',
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    KEYS_DIR,
  };
  const [one, other] = await Promise.all([launch(t, env), launch(t, env)]);
  await Promise.all([one.ready(), other.ready()]);
  return Object.assign(world, {
    one,
    other,
    env,
    async ask<Row extends pg.QueryResultRow>(text: string) {
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      try {
        return (await client.query<Row>(text)).rows;
      } finally {
        await client.end();
      }
    },
  });
}

const RETRY_MS = 20;

const tokenIn = ({ body }: Answer): string => String(body.refresh_token);
const outcomeOf = ({ headers }: Answer) => headers.get('keyturn-refresh-outcome');
const missingIn = async (service: ServiceProcess) => (await service.get('/readyz')).body.missing;

/** A client with a session of its own that refreshes again and again; what is not answered it sends again unchanged. */
async function keepRefreshing(service: ServiceProcess) {
  let token = (await service.login()).refresh_token;
  let key = randomUUID();
  let stopped = false;
  const heard = new Set<string>();
  const refresh = async () => {
    const answer = await service.refresh(token, key);
    heard.add(`${answer.status} ${answer.body.code ?? ''}`.trim());
    if (answer.status === 200) {
      token = tokenIn(answer);
      key = randomUUID();
    }
    return answer;
  };
  await refresh();
  const loop = (async () => {
    while (!stopped) if ((await refresh()).status !== 200) await sleep(RETRY_MS);
  })();
  return {
    async stop() {
      stopped = true;
      await loop;
      return { last: await refresh(), heard: [...heard].sort() };
    },
  };
}

t.test('two processes on one database', { skip: withoutPostgres || withoutRedis }, async (t) => {
  const world = await startWorld(t);
  const { one, other, ask } = world;
  await one.register();

  await t.test('make one signing key between them, and publish the same keys', async (t) => {
    const keys = await ask<{ kid: string }>(`SELECT kid FROM signing_keys WHERE state = 'active'`);
    t.equal(keys.length, 1);
    // The next key is made a moment later, and the other process hears of it.
    const both = () => Promise.all([one, other].map((service) => service.get('/.well-known/jwks.json')));
    await eventually(
      async () => (await both()).every(({ body }) => (body.keys as unknown[]).length === 2),
      () => 'they do not publish the next key',
    );
    const published = await both();
    t.match(published[0]?.body, { keys: [{ kid: keys[0]?.kid, kty: 'RSA' }] });
    t.same(published[0]?.body, published[1]?.body);
    t.equal(published[0]?.headers.get('etag'), published[1]?.headers.get('etag'));
  });

  await t.test('accept the tokens of each other', async (t) => {
    const tokens = await one.login();
    t.equal((await other.get('/v1/me', tokens.access_token)).status, 200);
    const refreshed = await other.refresh(tokens.refresh_token, randomUUID());
    t.equal(refreshed.status, 200);
    t.equal((await one.get('/v1/me', String(refreshed.body.access_token))).status, 200);
  });

  await t.test('rotate once for 40 parallel refreshes, and give all of them the same token', async (t) => {
    const { refresh_token, session_id } = await one.login();
    const key = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        (i % 2 === 0 ? one : other).refresh(refresh_token, i % 4 < 2 ? key : undefined),
      ),
    );
    t.same([...new Set(answers.map(({ status }) => status))], [200]);
    t.equal(new Set(answers.map(tokenIn)).size, 1);
    t.equal(answers.filter((answer) => outcomeOf(answer) === 'rotated').length, 1);
    t.same(await ask(`SELECT generation FROM sessions WHERE id = '${session_id}'`), [{ generation: 1 }]);
  });

  await t.test('say so while the database is away, and lose no session by it', async (t) => {
    const tokens = await one.login();
    const before = await one.refresh(tokens.refresh_token, randomUUID());
    const token = tokenIn(before);
    const key = randomUUID();
    const { folder, port, pid } = world.postgres;

    // Clients do not stop because a server does.
    const clients = await Promise.all([one, other].map((service) => keepRefreshing(service)));
    await stopByPid(pid, 'SIGINT');

    for (const service of [one, other]) {
      await eventually(
        async () => (await service.get('/readyz')).status === 503,
        () => 'it thinks that it is ready',
      );
      t.same(await missingIn(service), ['database']);
      const refused = await service.refresh(token, key);
      t.equal(refused.status, 503);
      t.equal(refused.body.code, 'store_unavailable');
      t.match(String(refused.headers.get('retry-after')), /^[1-9]\d*$/);
      for (const path of ['/livez', '/.well-known/jwks.json']) t.equal((await service.get(path)).status, 200, path);
    }

    world.postgres = (await startPostgres({ folder, port })) as World['postgres'];
    await Promise.all([one.ready(), other.ready()]);
    const after = await other.refresh(token, key);
    t.equal(after.status, 200, 'the very same token works');
    t.equal(generationOf(tokenIn(after)), 2);
    for (const client of clients) {
      const { last, heard } = await client.stop();
      t.equal(last.status, 200, 'nobody was logged out');
      t.same(heard, ['200', '503 store_unavailable'], 'and nobody heard anything else');
    }
  });

  await t.test('say so while Redis is away, and find it again', async (t) => {
    const { port, pid } = world.redis;
    await stopByPid(pid, 'SIGTERM');
    for (const service of [one, other]) {
      await eventually(
        async () => (await service.get('/readyz')).status === 503,
        () => 'it thinks that it is ready',
      );
      t.same(await missingIn(service), ['redis']);
      t.equal((await service.get('/.well-known/jwks.json')).status, 200);
    }

    const { folder, port: databasePort, pid: databasePid } = world.postgres;
    await stopByPid(databasePid, 'SIGINT');
    for (const service of [one, other]) {
      await eventually(
        async () => String(await missingIn(service)) === 'database,redis',
        () => 'it does not miss both',
      );
      const keys = await fetch(`${service.url}/.well-known/jwks.json`);
      t.equal(keys.status, 200, 'the keys are served with both of them away');
      t.match(await keys.json(), { keys: [{ kty: 'RSA' }] });
      const again = await fetch(keys.url, { headers: { 'if-none-match': keys.headers.get('etag') ?? '' } });
      t.equal(again.status, 304);
    }
    world.postgres = (await startPostgres({ folder, port: databasePort })) as World['postgres'];
    world.redis = (await startRedis({ port })) as World['redis'];
    await Promise.all([one.ready(), other.ready()]);
  });

  await t.test('keep the idle end of a session that slides, whatever is started again', async (t) => {
    const flags = ['--audience', 'api', '--token-delivery', 'header', '--renew-after', '0'];
    const made = await runToEnd(t, ['clients', 'create', '--client-id', 'web', ...flags], world.env);
    t.equal(made.code, 0, made.stderr);
    const login = await one.post('/v1/login', { email: 'ada@example.com', password: PASSWORD, client_id: 'web' });
    const check = (service: ServiceProcess, token: string) => service.get('/v1/authorize?audience=api', token);
    const tokenOf = ({ headers }: Answer) => headers.get('jwt') ?? '';
    const idleEnd = async () => {
      const text = `SELECT idle_expires_at FROM sessions WHERE id = '${login.body.session_id}'`;
      return (await ask<{ idle_expires_at: Date }>(text))[0]?.idle_expires_at.getTime() ?? 0;
    };
    const [first, second] = [await check(one, tokenOf(login)), await check(other, tokenOf(login))];
    t.same([first.status, second.status], [200, 200]);
    t.ok(tokenOf(first) && tokenOf(second), 'both processes have heard of the client at once');
    const before = await idleEnd();

    const { folder, port, pid } = world.postgres;
    await Promise.all([stopByPid(pid, 'SIGINT'), stopByPid(world.redis.pid, 'SIGTERM')]);
    world.postgres = (await startPostgres({ folder, port })) as World['postgres'];
    world.redis = (await startRedis({ port: world.redis.port })) as World['redis'];
    const third = await launch(t, world.env);
    await Promise.all([one.ready(), other.ready(), third.ready()]);
    t.equal(await idleEnd(), before);
    for (const service of [one, other, third]) {
      const answer = await check(service, tokenOf(second));
      t.equal(answer.status, 200);
      t.ok(tokenOf(answer));
    }
    t.ok((await idleEnd()) > before);
    await third.stop();
  });

  await t.test('end with 0 when asked to', async (t) => {
    for (const { code, signal } of await Promise.all([one.stop(), other.stop()])) t.same([code, signal], [0, null]);
  });
});

t.test('a start goes on where the database goes away in the midst of it', { skip: withoutPostgres }, async (t) => {
  const url = new URL(await postgresUrl(t));
  const port = Number(url.port || 5432);
  const away = await freePort();
  let connections = 0;
  // The first connection is the one of the migrations. Then the server is away for a moment.
  const upstreams = () => (++connections === 2 ? [away] : [port]);
  const proxy = await startFaultProxy(t, { upstreams, faults: {}, seed: 1 });
  url.port = String(proxy.port);
  const service = await launch(t, { DATABASE_URL: url.href });
  await service.ready();
  t.equal(proxy.counts.unreachable, 1);
  t.match(service.output.stdout, /the database cannot be reached yet/);
});
