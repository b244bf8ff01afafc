/** What `doctor` looks at: each check says what it found, and how to mend it. Nothing is changed. */
import { hasKek, readKeks } from '../adapters/kek-files/kek-source.js';
import type { Database } from '../adapters/postgres/database.js';
import { systemClock } from '../adapters/system/clock.js';
import { within } from '../adapters/system/within.js';
import { type Config, ConfigError, type Environment, readConfig } from '../config.js';
import { CLOCK_TOLERANCE_S } from '../domain/access-token.js';
import { Refusal } from '../domain/errors.js';
import { openPrivateKey } from '../domain/sealing.js';
import { findSocket } from '../http/local-socket.js';
import type { DatabaseHealth } from '../ports/database-health.js';
import type { KekSource } from '../ports/kek-source.js';
import { answers, callOver, overSocket } from './administration.js';
import { quiet } from './with-database.js';

export interface Check {
  check:
    | 'configuration'
    | 'keks'
    | 'hsm'
    | 'redis'
    | 'service'
    | 'database'
    | 'migrations'
    | 'clock'
    | 'signing_keys'
    | 'webhooks';
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  /** What to do; where there is something. */
  mend?: string;
}

/** Milliseconds. */
const PROBE_TIMEOUT_MS = 5_000;
/** A difference of the clocks that is still harmless, and will not be when it grows. Seconds. */
const SUSPICIOUS_SKEW_S = 1;

const ok = (check: Check['check'], detail: string): Check => ({ check, status: 'ok', detail });
const warn = (check: Check['check'], detail: string, mend: string): Check => ({ check, status: 'warn', detail, mend });
const fail = (check: Check['check'], detail: string, mend: string): Check => ({ check, status: 'fail', detail, mend });

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  if (error instanceof Refusal) return error.cause instanceof Error ? error.cause.message : error.detail;
  return error.message;
}

export async function diagnose(env?: Environment): Promise<Check[]> {
  let config: Config;
  try {
    config = readConfig(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => fail('configuration', problem, 'see docs/configuration.md'));
  }
  const { keks, check } = checkKeks(config);
  return [
    checkConfiguration(config),
    check,
    ...(await checkHsm(config)),
    await checkRedis(config),
    ...(await checkStore(config, keks)),
  ];
}

function checkConfiguration({ DATABASE_URL, DATA_DIR }: Config): Check {
  return ok('configuration', DATABASE_URL === null ? `embedded database in ${DATA_DIR}` : 'PostgreSQL');
}

function checkKeks({ KEYS_DIR, production }: Config): { keks: KekSource | null; check: Check } {
  try {
    if (!production && !hasKek(KEYS_DIR))
      return { keks: null, check: ok('keks', `none in ${KEYS_DIR} yet; the first start makes one`) };
    const keks = readKeks(KEYS_DIR);
    return { keks, check: ok('keks', `the newest in ${KEYS_DIR} is ${keks.newest().id}`) };
  } catch (error) {
    return { keks: null, check: fail('keks', messageOf(error), 'do what the message says') };
  }
}

/** One attempt with the PIN: devices count those that are wrong. */
async function checkHsm(config: Config): Promise<Check[]> {
  if (config.PKCS11_TOKEN === null) return [];
  const { openSigner } = await import('../foundation.js');
  const signer = await openSigner(config);
  try {
    await signer.prepare?.();
    const kids = (await signer.held()).map(({ kid }) => kid);
    return [ok('hsm', `the token ${config.PKCS11_TOKEN} has ${kids.length === 0 ? 'no keys' : kids.join(', ')}`)];
  } catch (error) {
    return [fail('hsm', messageOf(error), 'see docs/hsm.md')];
  } finally {
    signer.close?.();
  }
}

async function checkRedis(config: Config): Promise<Check> {
  if (config.REDIS_URL === null) {
    if (config.DATABASE_URL === null || config.SINGLE_PROCESS) return ok('redis', 'none: this is the only process');
    return warn('redis', 'none', 'set REDIS_URL, unless only one process runs: then SINGLE_PROCESS=true');
  }
  const [{ connectRedis }, { createRedisAnnouncements }] = await Promise.all([
    import('../adapters/redis/connection.js'),
    import('../adapters/redis/announcements.js'),
  ]);
  const redis = connectRedis(config.REDIS_URL, () => {});
  try {
    await within(PROBE_TIMEOUT_MS, createRedisAnnouncements(redis).ping());
    return ok('redis', 'answers');
  } catch {
    return fail('redis', 'does not answer', 'check REDIS_URL, and that Redis runs');
  } finally {
    await redis.close();
  }
}

async function checkStore(config: Config, keks: KekSource | null): Promise<Check[]> {
  if (config.DATABASE_URL === null) {
    const { path } = findSocket(config.DATA_DIR);
    if (path !== null && (await answers(path))) return [await checkService(path)];
    const { hasCluster } = await import('../adapters/embedded/database.js');
    if (!hasCluster(config.DATA_DIR))
      return [ok('database', `none in ${config.DATA_DIR} yet; the first start makes it`)];
  }
  const { openDatabase } = await import('../foundation.js');
  try {
    const database = await openDatabase(config, quiet);
    try {
      return await checkDatabase(database, keks);
    } finally {
      await database.close();
    }
  } catch (error) {
    const mend = config.DATABASE_URL === null ? 'see the message' : 'check DATABASE_URL, and that PostgreSQL runs';
    return [fail('database', messageOf(error), mend)];
  }
}

/** It has the database to itself, and has applied all migrations at its start. */
async function checkService(path: string): Promise<Check> {
  try {
    await callOver(overSocket(path))('GET', '/readyz');
    return ok('service', 'runs, and is ready');
  } catch (error) {
    return fail(
      'service',
      `runs, and is not ready: ${error instanceof Refusal ? error.detail : messageOf(error)}`,
      'see its log',
    );
  }
}

async function checkDatabase(database: Database, keks: KekSource | null): Promise<Check[]> {
  const [{ createDatabaseHealth }, { pendingMigrations }] = await Promise.all([
    import('../adapters/postgres/health.js'),
    import('../adapters/postgres/migrate.js'),
  ]);
  const before = systemClock.now();
  const health = createDatabaseHealth(database);
  const theirs = await health.now();
  // Their clock was read somewhere between two readings of ours.
  const skew = Math.max(before - theirs, theirs - systemClock.now(), 0) / 1000;
  const { applied, pending } = await pendingMigrations(database);
  return [
    ok('database', 'answers'),
    checkClock(skew),
    pending.length === 0
      ? ok('migrations', 'all applied')
      : warn('migrations', `pending: ${pending.join(', ')}`, 'run keyturn migrate, or start the service'),
    ...(applied.length === 0 ? [] : [await checkSigningKeys(database, health, keks)]),
    ...(pending.length > 0 ? [] : await checkWebhooks(database, keks)),
  ];
}

function checkClock(skew: number): Check {
  const detail = `${skew.toFixed(3)} s from that of the database`;
  const mend = 'synchronise the clocks of both machines (NTP)';
  if (skew > CLOCK_TOLERANCE_S) return fail('clock', detail, mend);
  return skew > SUSPICIOUS_SKEW_S ? warn('clock', detail, mend) : ok('clock', detail);
}

async function checkSigningKeys(database: Database, health: DatabaseHealth, keks: KekSource | null): Promise<Check> {
  const { createSigningKeyStore } = await import('../adapters/postgres/signing-key-store.js');
  const sealed = (await createSigningKeyStore(database, health).published()).filter(
    ({ sealedPrivate }) => sealedPrivate !== null,
  );
  const closed = sealed.filter(({ kid, kekId, sealedPrivate }) => {
    const kek = kekId === null ? null : (keks?.find(kekId) ?? null);
    const pkcs8 = kek && sealedPrivate && openPrivateKey(sealedPrivate, kid, kek);
    pkcs8?.fill(0);
    return !pkcs8;
  });
  if (sealed.length === 0) return ok('signing_keys', 'none yet; the first start makes one');
  if (closed.length === 0) return ok('signing_keys', `${sealed.length} can be opened`);
  const names = closed.map(({ kid, kekId }) => `${kid} (KEK ${kekId})`).join(', ');
  return fail('signing_keys', `cannot be opened: ${names}`, 'put these KEKs back into KEYS_DIR, from your backup');
}

/** Nothing where there are none. */
async function checkWebhooks(database: Database, keks: KekSource | null): Promise<Check[]> {
  const [{ createWebhookStore }, { createWebhookSecrets }, { systemRandom }] = await Promise.all([
    import('../adapters/postgres/webhook-store.js'),
    import('../domain/webhook-secrets.js'),
    import('../adapters/system/random.js'),
  ]);
  const all = await createWebhookStore(database).list();
  if (all.length === 0) return [];
  const secrets = keks && createWebhookSecrets(keks, systemRandom);
  const closed = all.filter((endpoint) => !secrets?.open(endpoint, systemClock.now()));
  const names = closed.map(({ id, secrets: { kekId } }) => `${id} (KEK ${kekId})`).join(', ');
  if (closed.length > 0)
    return [fail('webhooks', `cannot be signed: ${names}`, 'put these KEKs back, or rotate the secrets')];
  const stopped = all.filter(({ failingSince, disabledReason }) => failingSince !== null || disabledReason === 'gone');
  const hurt = stopped.map(({ id }) => id).join(', ');
  return [
    stopped.length === 0
      ? ok('webhooks', `${all.length} can be signed`)
      : warn('webhooks', `take nothing: ${hurt}`, 'look why: keyturn webhooks deliveries'),
  ];
}
