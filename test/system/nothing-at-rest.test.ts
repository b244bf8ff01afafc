/** A thief has everything that is at rest, and the source: none of it is, or becomes, a token or a key. */
import { createHmac, randomUUID, sign } from 'node:crypto';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { readKeks } from '../../src/adapters/kek-files/kek-source.js';
import { hashIdempotencyKey } from '../../src/domain/refresh.js';
import { sha256 } from '../../src/domain/refresh-token.js';
import {
  accessTokenFor,
  bytesOf,
  derivedFrom,
  dumpRedis,
  keysAmong,
  privateKeyFrom,
  type Row,
  refreshTokensFrom,
  rowsOfDump,
  unsealed,
  valuesOf,
} from '../support/at-rest.js';
import { postgresUrl, withoutPostgres, withoutRedis } from '../support/databases.js';
import { launchReady, runToEnd, type ServiceProcess, temporaryFolder } from '../support/process.js';
import { noteSecret } from '../support/run-log.js';
import { dumpPostgres, hasPgDump, startRedis } from '../support/servers.js';
import { PASSWORD } from '../support/service.js';
import { presented } from '../support/sessions.js';
import { thief } from '../support/thief.js';

const skip = withoutPostgres || withoutRedis || (!hasPgDump() && 'no pg_dump beside the PostgreSQL server');
const ISSUER = 'https://auth.example.com';
const WRONG_PASSWORD = 'not the password at all';

async function startWorld(t: Test) {
  const [url, redis] = await Promise.all([postgresUrl(t), startRedis()]);
  if (redis === null) throw new Error('the Redis of this test comes from the machine');
  t.teardown(() => redis.stop());
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  await runToEnd(t, ['keys', 'new-kek'], { KEYS_DIR });
  const setting = { NODE_ENV: 'production', ISSUER, KEYS_DIR, DATABASE_URL: url, REDIS_URL: redis.url };
  // Without a leeway a used token is good for nothing but its replay, with its key.
  const service = await launchReady(t, { ...setting, REFRESH_REUSE_LEEWAY: '0', LOG_LEVEL: 'trace' });
  const create = [
    'clients',
    'create',
    '--client-id',
    'billing',
    '--type',
    'confidential',
    '--audience',
    'api',
    '--json',
  ];
  const { client_secret: clientSecret } = JSON.parse((await runToEnd(t, create, { DATABASE_URL: url })).stdout);
  const hook = ['webhooks', 'create', '--url', 'https://siem.example.com/', '--event', 'webhook.test', '--json'];
  const made = JSON.parse((await runToEnd(t, hook, { DATABASE_URL: url, KEYS_DIR })).stdout);
  const rotate = ['webhooks', 'rotate-secret', made.id, '--json'];
  const rotated = JSON.parse((await runToEnd(t, rotate, { DATABASE_URL: url, KEYS_DIR })).stdout);
  const webhookSecrets = [made.secret, rotated.secret].map(String);
  noteSecret(clientSecret, ...webhookSecrets);
  return {
    service,
    url,
    redisUrl: redis.url,
    clientSecret: String(clientSecret),
    webhookSecrets,
    kek: readKeks(KEYS_DIR).newest(),
  };
}

type World = Awaited<ReturnType<typeof startWorld>>;

/** What a client holds of its session, and held before. */
interface Held {
  id: string;
  refresh: string[];
  access: string[];
  keys: string[];
}

async function newSession(service: ServiceProcess, rotations: number): Promise<Held> {
  const login = await service.login();
  const held: Held = { id: login.session_id, refresh: [login.refresh_token], access: [login.access_token], keys: [] };
  while (held.keys.length < rotations) {
    held.keys.push(randomUUID());
    const { body } = await service.refresh(held.refresh.at(-1) ?? '', held.keys.at(-1));
    held.refresh.push(String(body.refresh_token));
    held.access.push(String(body.access_token));
  }
  return held;
}

/** A little of everything that a service is used for. */
async function use({ service }: World) {
  await service.register();
  await service.post('/v1/login', { email: 'ada@example.com', password: WRONG_PASSWORD });
  const live = [await newSession(service, 0), await newSession(service, 1), await newSession(service, 5)];
  const [loggedOut, reused] = [await newSession(service, 2), await newSession(service, 3)];
  const thrownAway = await Promise.all(Array.from({ length: 6 }, () => newSession(service, 1)));
  await service.post('/v1/logout', { refresh_token: loggedOut.refresh.at(-1) });
  await service.refresh(reused.refresh[0] ?? '', randomUUID());
  const five = live[2] ?? loggedOut;
  const bearer = five.access.at(-1) ?? '';
  const replayed = await service.refresh(five.refresh.at(-2) ?? '', five.keys.at(-1));
  if (replayed.status !== 200) throw new Error('a replay is part of what is used');
  await service.get('/v1/sessions', bearer);
  const change = { current_password: WRONG_PASSWORD, new_password: PASSWORD };
  await service.post('/v1/me/password', change, { authorization: `Bearer ${bearer}` });
  await service.post('/v1/refresh', { refresh_token: five.refresh[0], unknown: five.access[0] });
  return { live, dead: [loggedOut, reused], thrownAway };
}

async function dumpOf({ service, url, redisUrl }: World) {
  const dump = dumpPostgres(url) ?? '';
  const tables = rowsOfDump(dump);
  const redis = await dumpRedis(redisUrl);
  const logs = service.output.stdout + service.output.stderr;
  const columns = Object.values(tables).flatMap((rows) => rows.flatMap((row) => Object.values(row)));
  const values = valuesOf([...columns.filter((value) => value !== null), ...redis, ...logs.split('\n')]);
  return { tables, values, text: [dump, logs, ...redis].join('\n') };
}

/** What may be a refresh token: the values as they are, and whatever is made of them in its dress. */
const asRefreshTokens = (values: readonly string[]): string[] => [
  ...values,
  ...values.filter((value) => bytesOf(value).length > 0).map((value) => `ktr_${value}`),
  ...derivedFrom(values).map((bytes) => `ktr_${bytes.toString('base64url')}`),
];

/** How a text or some bytes may be written down. */
const spellings = (secret: string | Uint8Array): string[] => {
  const bytes = Buffer.from(secret as string);
  const own = typeof secret === 'string' ? secret : bytes.toString('latin1');
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  return [own, bytes.toString('hex'), base64, bytes.toString('base64url')];
};

const pick = (rows: readonly Row[] = [], ids: readonly string[]): Row[] =>
  ids.flatMap((wanted) => rows.filter(({ id }) => id === wanted));

const byId = (rows: readonly Row[]) => Object.fromEntries(rows.map((row) => [row.id, row]));

t.test('what is at rest', { skip }, async (t) => {
  const world = await startWorld(t);
  const { live, dead, thrownAway } = await use(world);
  const { tables, values, text } = await dumpOf(world);
  const { refresh, bearer, clientSecret, taken } = thief(t, world.service.url);
  const [signingKey = {}] = tables.signing_keys ?? [];
  const rows = pick(
    tables.sessions,
    live.map(({ id }) => id),
  );
  const others = pick(
    tables.sessions,
    [...dead, ...thrownAway].map(({ id }) => id),
  );
  const ids = [...rows, ...others].map(({ id }) => id ?? '');
  const row = rows.at(-1) ?? {};
  const keys = keysAmong(values);

  await t.test('is all there to be tried', async (t) => {
    t.equal(rows.length + others.length, tables.sessions?.length);
    for (const { id, refresh, keys } of live) {
      t.ok(values.includes(id));
      const hash = sha256(presented(refresh.at(-1)).secret);
      t.ok(values.includes(`\\x${Buffer.from(hash).toString('hex')}`), 'the hash of what a client holds');
      for (const key of keys.slice(-4)) t.ok(values.includes(hashIdempotencyKey(key)), 'and of its keys');
    }
    t.ok(values.includes('login.succeeded'), 'the audit log');
    t.ok(values.includes('/v1/refresh'), 'the request log');
    t.ok(keys.length > 40);
  });

  await t.test('has nothing in it that a client holds, however it is written', async (t) => {
    const held = [...live, ...dead, ...thrownAway];
    const tokens = held.flatMap(({ refresh }) => refresh).map((token) => presented(token));
    const secrets = [
      ...held.flatMap(({ refresh, access, keys }) => [...refresh, ...access, ...keys]),
      ...held.flatMap(({ access }) => access.flatMap((token) => token.split('.').slice(1))),
      ...tokens.flatMap(({ signed, secret }) => [signed, secret]),
      ...[PASSWORD, WRONG_PASSWORD, world.clientSecret, world.kek.key, ...world.webhookSecrets],
      ...world.webhookSecrets.map((secret) => Buffer.from(secret.slice('whsec_'.length), 'base64')),
    ];
    t.same(
      secrets.flatMap(spellings).filter((spelling) => text.includes(spelling)),
      [],
    );
    t.ok(
      spellings(bytesOf(row.family_key ?? '')[1] ?? '').some((spelling) => text.includes(spelling)),
      'what is there is found',
    );
  });

  await t.test('is no refresh token', async (t) => {
    t.same(await taken(asRefreshTokens(values), refresh), []);
    const [control] = (await newSession(world.service, 0)).refresh;
    const planted = Buffer.from(control?.slice(4) ?? '', 'base64url').toString('hex');
    t.same(
      await taken(asRefreshTokens([...values.slice(0, 5), planted]), refresh),
      [control],
      'a real one would be found',
    );
  });

  await t.test('does not complete a refresh token, even with the right tag', async (t) => {
    t.same(await taken(refreshTokensFrom(row, keys), refresh), []);
    for (const row of [...rows, ...others]) {
      const own = keysAmong(valuesOf(Object.values(row).filter((value) => value !== null)));
      t.same(await taken(refreshTokensFrom(row, own), refresh), []);
    }
    const after = (await dumpOf(world)).tables.sessions;
    t.same(byId(pick(after, ids)), byId([...rows, ...others]), 'nothing has moved or ended');
    for (const [n, { refresh }] of live.entries()) {
      const [last, lastButOne] = [refresh.at(-1), refresh.at(-2) ?? refresh.at(-1)];
      const guessed = refreshTokensFrom(rows[n] ?? {}, [Buffer.from(presented(lastButOne).secret)]);
      t.ok(guessed.includes(last ?? ''), 'with what the client held it would');
    }
  });

  await t.test('is no access token, and signs none', async (t) => {
    const secrets = values.flatMap(bytesOf);
    const hmac = (alg: string, digest: string, key: Buffer) =>
      accessTokenFor(row, { alg, kid: signingKey.kid }, ISSUER, (input) =>
        createHmac(digest, key).update(input).digest(),
      );
    const unsigned = accessTokenFor(row, { alg: 'none', kid: signingKey.kid }, ISSUER, () => Buffer.alloc(0));
    const forged = [
      unsigned,
      ...secrets.map((key) => hmac('HS256', 'sha256', key)),
      ...keys.map((key) => hmac('HS512', 'sha512', key)),
    ];
    t.same(await taken([...values, ...forged], bearer), []);
    const [control = ''] = (await newSession(world.service, 0)).access;
    t.same(await taken([...values.slice(0, 5), control], bearer), [control], 'a real one would be found');
  });

  await t.test('opens no sealed key, and is no private key', async (t) => {
    const keks = derivedFrom(values).filter(({ length }) => length === 32);
    t.ok(keks.length > keys.length);
    t.equal(unsealed(signingKey, keks), null);
    t.same(
      values.flatMap(bytesOf).filter((bytes) => privateKeyFrom(bytes) !== null),
      [],
    );

    const opened = unsealed(signingKey, [...keks.slice(0, 5), Buffer.from(world.kek.key)]);
    if (opened === null) throw new Error('the real KEK opens it');
    for (const type of ['pkcs8', 'pkcs1'] as const) {
      t.ok(privateKeyFrom(Buffer.from(opened.export({ type, format: 'pem' }))), `${type} in PEM would be found`);
      t.ok(privateKeyFrom(opened.export({ type, format: 'der' })), `${type} in DER`);
    }
    t.ok(privateKeyFrom(Buffer.from(JSON.stringify(opened.export({ format: 'jwk' })))), 'and a JWK');
    const header = { alg: 'RS256', kid: signingKey.kid };
    const forged = accessTokenFor(row, header, ISSUER, (input) => sign('sha256', Buffer.from(input), opened));
    t.same(await taken([forged], bearer), [forged], 'what would be signed with it would be taken');
  });

  await t.test('is no secret of a client', async (t) => {
    const encoded = keys.map((key) => key.toString('base64url'));
    t.same(await taken([...values, ...encoded], clientSecret), []);
    t.same(await taken([world.clientSecret], clientSecret), [world.clientSecret], 'the real one would be found');
  });

  await t.test('is no Idempotency-Key, even for who has the token that was used with it', async (t) => {
    const guesses = thrownAway.map(({ id }, n) => {
      const [row = {}] = pick(tables.sessions, [id]);
      const [{ key = '' } = {}] = JSON.parse(row.rotations ?? '[]');
      const bytes = Buffer.from(key, 'base64url');
      return [
        key,
        bytes.toString('hex'),
        bytes.toString('base64'),
        Buffer.from(sha256(bytes)).toString('base64url'),
        row.current_hash,
        row.rotation_salt,
      ][n];
    });
    for (const [n, { refresh: tokens }] of thrownAway.entries()) {
      const guess = guesses[n] ?? '';
      t.not(guess, '');
      t.match(JSON.parse((await refresh(tokens[0] ?? '', guess)).text), { code: 'refresh_token_reused' });
    }
    const { refresh: tokens, keys } = await newSession(world.service, 1);
    t.equal((await refresh(tokens[0] ?? '', keys[0])).status, 200, 'the real one would get the answer again');
  });

  await t.test('leaves the tokens of the clients as good as they were', async (t) => {
    for (const { refresh, access } of live) {
      t.equal((await world.service.get('/v1/me', access.at(-1))).status, 200);
      t.equal((await world.service.refresh(refresh.at(-1) ?? '', randomUUID())).status, 200);
    }
  });
});

t.test('the dump of a Redis has every key, of whatever type', { skip }, async (t) => {
  const server = await startRedis();
  if (server === null) throw new Error('the Redis of this test comes from the machine');
  const redis = new Redis(server.url);
  t.teardown(() => server.stop());
  t.teardown(() => redis.disconnect());
  await redis.set('a-string', 'planted-string');
  await redis.hset('a-hash', 'field', 'planted-hash');
  await redis.rpush('a-list', 'planted-list');
  await redis.sadd('a-set', 'planted-set');
  await redis.zadd('a-zset', 1, 'planted-zset');
  await redis.xadd('a-stream', '*', 'field', 'planted-stream');
  const values = valuesOf(await dumpRedis(server.url));
  for (const type of ['string', 'hash', 'list', 'set', 'zset', 'stream']) {
    t.ok(values.includes(`a-${type}`));
    t.ok(values.includes(`planted-${type}`), type);
  }
});
