/** What a check costs a service: with revocation followed in memory, without any, and asked of a database or of Redis. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Redis } from 'ioredis';
import pg from 'pg';
import { RevocationSet } from '../src/domain/revocation.js';
import { instant } from '../src/domain/types.js';
import type { Scope } from '../test/support/scope.js';
import { startPostgres, startRedis } from '../test/support/servers.js';
import { startIssuer, uuid } from './issuer.js';
import { count, type Measurement } from './measurement.js';
import { FAST_JWT, JOSE, jose, OURS, verifiers } from './verifiers.js';

const TOKENS_AT_ONCE = 32;
const SEED_ROWS = 500_000;
const SLICE_MS = 250;
/** The first ones are a warm-up: most of this is done seldom before. */
const FRESH_ROUNDS = 9;

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

setFlagsFromString('--expose-gc');
const gc: () => void = runInNewContext('gc');
const heapMb = (): number => {
  gc();
  return process.memoryUsage().heapUsed / 2 ** 20;
};

type CheckById = (token: string, jti: string) => unknown;

interface Presented {
  /** A request brings its token as bytes: a string that was looked up before would be found faster than a new one. */
  token: Buffer;
  jti: string;
}

/** Checks a second over all of them, once each. */
async function timed(check: CheckById, presented: readonly Presented[]): Promise<number> {
  const begun = performance.now();
  for (let i = 0; i < presented.length; i += TOKENS_AT_ONCE) {
    const some = presented.slice(i, i + TOKENS_AT_ONCE);
    await Promise.all(some.map(({ token, jti }) => check(token.toString('latin1'), jti)));
  }
  return (presented.length * 1000) / (performance.now() - begun);
}

/** In turns, so that what else the machine does meets all of them. */
async function compare(contenders: Record<string, CheckById>, presented: Presented[], rounds: number) {
  const rates = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, contender] of Object.entries(contenders)) {
      const slice: number[] = [];
      for (const end = performance.now() + SLICE_MS; performance.now() < end; )
        slice.push(await timed(contender, presented));
      rates.set(name, [...(rates.get(name) ?? []), ...slice]);
    }
  }
  return new Map([...rates].map(([name, values]) => [name, median(values)]));
}

/** The same, with tokens that none of them has seen: others in each round. What a contender caches is of no use to it. */
async function compareFresh(contenders: Record<string, CheckById>, batches: readonly (readonly Presented[])[]) {
  const rates = new Map<string, number[]>();
  for (const batch of batches) {
    for (const [name, contender] of Object.entries(contenders))
      rates.set(name, [...(rates.get(name) ?? []), await timed(contender, batch)]);
  }
  return new Map([...rates].map(([name, values]) => [name, median(values)]));
}

async function overSql(scope: Scope, rows: number, verify: (token: string) => unknown, say: (text: string) => void) {
  const server = await startPostgres({ settings: { shared_buffers: '1GB' } });
  if (server === null) throw new Error('there is no PostgreSQL on this machine');
  scope.teardown(() => server.stop());
  const pool = new pg.Pool({ connectionString: server.url, max: 10 });
  pool.on('error', () => {});
  scope.teardown(() => pool.end());
  await pool.query('CREATE TABLE revoked (jti text PRIMARY KEY, expires_at timestamptz)');
  for (let from = 0; from < rows; from += SEED_ROWS) {
    await pool.query(
      `INSERT INTO revoked SELECT '01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'), now() FROM generate_series($1::int, $2::int) i`,
      [from, Math.min(from + SEED_ROWS, rows) - 1],
    );
    say(`${count(Math.min(from + SEED_ROWS, rows))} of ${count(rows)} rows`);
  }
  await pool.query('VACUUM ANALYZE revoked');
  const look = { name: 'look', text: 'SELECT 1 FROM revoked WHERE jti = $1' };
  return async (token: string, jti: string) => {
    await verify(token);
    if ((await pool.query({ ...look, values: [jti] })).rowCount) throw new Error('revoked');
  };
}

async function overRedis(scope: Scope, verify: (token: string) => unknown) {
  const server = await startRedis();
  if (server === null) throw new Error('there is no Redis on this machine');
  scope.teardown(() => server.stop());
  const redis = new Redis(server.url);
  scope.teardown(() => redis.disconnect());
  return async (token: string, jti: string) => {
    await verify(token);
    if (await redis.exists(`revoked:${jti}`)) throw new Error('revoked');
  };
}

function memoryOfSet(live: number): number {
  const before = heapMb();
  const set = new RevocationSet();
  const at = instant(Date.now());
  for (let i = 0; i < live; i++) {
    const expiresAt = instant(at + (i % 960) * 1000);
    set.add({ id: i, kind: 'sid', value: uuid(i), notBefore: null, revokedAt: at, expiresAt });
  }
  const after = heapMb();
  // Used after the measurement, so that it is still there at it.
  return set.size === live ? after - before : Number.NaN;
}

export const checks: Measurement = {
  about: 'checks of access tokens a second, and the memory of live revocations',
  options: { live: 1_000_000, rows: 11_000_000, tokens: 12_000, rounds: 8 },
  async measure(scope, options, say) {
    const { live = 0, rows = 0, tokens = 0, rounds = 0 } = options;
    const issuer = await startIssuer(scope, live);
    const serviceMb = memoryOfSet(live);

    const before = heapMb();
    const contenders: Record<string, CheckById> = {};
    let verifierMb = Number.NaN;
    for (const [name, start] of Object.entries(verifiers)) {
      say(`starting ${name}`);
      const { check, close } = await start(issuer);
      scope.teardown(close);
      contenders[name] = check;
      if (name === OURS) verifierMb = heapMb() - before;
    }
    contenders[`jose and a table of ${count(rows)} revoked tokens`] = await overSql(scope, rows, jose(issuer), say);
    contenders['jose and a key in Redis'] = await overRedis(scope, jose(issuer));

    const presented: Presented[] = [];
    for (let n = 0; n < tokens; n++)
      presented.push({ token: Buffer.from(await issuer.token(n)), jti: uuid(2 ** 41 + n) });
    for (const contender of Object.values(contenders)) await timed(contender, presented.slice(0, tokens / 4));
    const again = await compare(contenders, presented.slice(0, tokens / 4), rounds);
    say('seen before: done');

    const unseen = presented.slice(tokens / 4);
    const size = Math.ceil(unseen.length / FRESH_ROUNDS);
    const batches = Array.from({ length: FRESH_ROUNDS }, (_, n) => unseen.slice(n * size, (n + 1) * size));
    const fresh = await compareFresh(contenders, batches);

    const line = (rates: Map<string, number>, name: string) => {
      const rate = rates.get(name) ?? 0;
      return `${count(rate)} (${(rate / (rates.get(JOSE) ?? 1)).toFixed(2)})`;
    };
    const ratio = (rates: Map<string, number>, name: string) =>
      ((rates.get(OURS) ?? 0) / (rates.get(name) ?? 0)).toFixed(2);
    return {
      'checks a second': 'of tokens seen before, and for the first time; in brackets, against bare jose',
      ...Object.fromEntries(
        Object.keys(contenders).map((name) => [name, `${line(again, name)}; ${line(fresh, name)}`]),
      ),
      'a token seen before, keyturn/verifier of fast-jwt': ratio(again, FAST_JWT),
      'a token for the first time, keyturn/verifier of jose': ratio(fresh, JOSE),
      [`memory of ${count(live)} live revocations`]: `${count(serviceMb)} MiB in the service, ${count(verifierMb)} MiB in a verifier`,
    };
  },
};
