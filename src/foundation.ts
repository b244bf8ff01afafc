/** Opens what the service stands on, as it is configured: database, Redis, keys, lists. */
import { createInProcessAnnouncements } from './adapters/in-process/announcements.js';
import { createInProcessLimiter } from './adapters/in-process/attempt-limiter.js';
import { createInProcessRequestLimiter } from './adapters/in-process/request-limiter.js';
import { createInProcessProjection } from './adapters/in-process/revocation-projection.js';
import { hasKek, makeKek, readKeks } from './adapters/kek-files/kek-source.js';
import { nodeTokenSigner, verifySignature } from './adapters/node-crypto/token-signer.js';
import type { Database } from './adapters/postgres/database.js';
import { installationOf } from './adapters/postgres/installation.js';
import { createRevocationStore } from './adapters/postgres/revocation-store.js';
import { severalSigners } from './adapters/several-signers/token-signer.js';
import { systemClock } from './adapters/system/clock.js';
import { systemRandom } from './adapters/system/random.js';
import type { Config } from './config.js';
import { seldom } from './domain/seldom.js';
import type { Announcements } from './ports/announcements.js';
import type { LimiterOf, LimitSettings } from './ports/attempt-limiter.js';
import { type BreachedPasswords, noneBreached } from './ports/breached-passwords.js';
import type { Clock } from './ports/clock.js';
import type { DatabaseHealth } from './ports/database-health.js';
import type { EventLoop } from './ports/event-loop.js';
import type { KekSource } from './ports/kek-source.js';
import type { Metrics } from './ports/metrics.js';
import type { PlaceFiles, Places } from './ports/places.js';
import type { Random } from './ports/random.js';
import type { RequestLimiterOf } from './ports/request-limiter.js';
import type { RevocationProjection } from './ports/revocation-projection.js';
import type { TokenSigner } from './ports/token-signer.js';
import type { WebhookSender } from './ports/webhook-sender.js';

/** While Redis is away both connections fail, each once a second. Milliseconds. */
const REDIS_TOLD_EVERY_MS = 60_000;

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** How nodes hear of each other, and count together. */
export interface Messaging {
  announcements: Announcements;
  projection: RevocationProjection;
  limiterOf: LimiterOf;
  requestLimiterOf: RequestLimiterOf;
  close(): Promise<void>;
}

/** What the service stands on; tests put their own in its place. */
export interface Foundation extends Omit<Messaging, 'close'> {
  database: Database;
  health: DatabaseHealth;
  keks: KekSource;
  signer: TokenSigner;
  places: Places;
  breachedPasswords: BreachedPasswords;
  metrics: Metrics;
  clock: Clock;
  eventLoop: EventLoop;
  random: Random;
  /** Unset: over HTTP. */
  webhookSender?: WebhookSender;
}

/** Only the one that is used is loaded: the embedded database is a large module. */
export async function openDatabase(config: Config, log: Log): Promise<Database> {
  if (config.DATABASE_URL === null) {
    const { openEmbedded } = await import('./adapters/embedded/database.js');
    return openEmbedded(config.DATA_DIR);
  }
  const { connectPostgres } = await import('./adapters/postgres/database.js');
  return connectPostgres({
    url: config.DATABASE_URL,
    max: config.DATABASE_POOL,
    onIdleError: (error) => log.warn({ error: error.name }, 'lost an idle connection to the database'),
  });
}

/** Likewise: a process that is the only one needs no client of Redis. */
export async function openMessaging(
  { REDIS_URL, DATABASE_URL }: Config,
  database: Database,
  log: Log,
  metrics: Metrics,
  /** Milliseconds for which somebody waits for Redis before his failure is counted here. */
  limiterPatience?: number,
): Promise<Messaging> {
  const inProcess = (settings: LimitSettings) => createInProcessLimiter(settings, systemClock);
  if (REDIS_URL === null) {
    return {
      announcements: createInProcessAnnouncements(),
      // A folder has one process; a PostgreSQL is open to commands beside it.
      projection: createInProcessProjection(
        systemClock,
        DATABASE_URL === null ? null : createRevocationStore(database),
      ),
      limiterOf: (_kind, settings) => inProcess(settings),
      requestLimiterOf: (_kind, limit) => createInProcessRequestLimiter(limit, systemClock),
      async close() {},
    };
  }
  const [{ connectRedis }, { createRedisAnnouncements }, { createRedisProjection }, limiters, insured, requests] =
    await Promise.all([
      import('./adapters/redis/connection.js'),
      import('./adapters/redis/announcements.js'),
      import('./adapters/redis/revocation-projection.js'),
      import('./adapters/redis/attempt-limiter.js'),
      import('./adapters/insured/attempt-limiter.js'),
      import('./adapters/redis/request-limiter.js'),
    ]);
  const unreachable = (problem: string) => log.warn({ problem }, 'Redis cannot be reached');
  const redis = connectRedis(REDIS_URL, seldom(REDIS_TOLD_EVERY_MS, systemClock, unreachable));
  const installation = installationOf(database);
  const shared = insured.createShared(systemClock, (reached) => {
    metrics.failuresShared(reached);
    if (reached) log.info({}, 'failed attempts are counted for all nodes again');
    else log.warn({}, 'failed attempts are counted by each node for itself: Redis does not answer');
  });
  const sharedRequests = requests.createSharedRequests({
    redis,
    installation,
    clock: systemClock,
    onChange(reached) {
      metrics.requestsShared(reached);
      if (reached) log.info({}, 'requests are counted for all nodes again');
      else log.warn({}, 'requests are counted by each node for itself: Redis does not answer');
    },
  });
  return {
    announcements: createRedisAnnouncements(redis),
    projection: createRedisProjection(redis, installation, systemClock, systemRandom),
    limiterOf: (kind, settings) =>
      insured.createInsuredLimiter(
        shared,
        limiters.createRedisLimiter(redis, installation, kind, settings, limiterPatience),
        inProcess(settings),
      ),
    requestLimiterOf: sharedRequests.limiterOf,
    close() {
      sharedRequests.close();
      return redis.close();
    },
  };
}

/** Loaded here: the commands have no use for it. */
export async function openPlaces({ GEOIP_DB, GEOIP_ASN_DB }: Config): Promise<PlaceFiles> {
  const geo = await import('./adapters/geo/places.js');
  return geo.openPlaces({ places: GEOIP_DB, networks: GEOIP_ASN_DB });
}

export type OpenBreachedPasswords = BreachedPasswords & { close(): Promise<void> };

/** Lists of breached passwords: those that are configured, one after the other. */
export async function openBreachedPasswords(
  { BREACHED_PASSWORDS_LIST: path, BREACHED_PASSWORDS_URL: url }: Config,
  log: Log,
): Promise<OpenBreachedPasswords> {
  const onProblem = (from: string) => (problem: string) =>
    log.warn({ from, problem }, 'a password could not be looked up among the breached ones, and was accepted');
  const list =
    path === null
      ? null
      : await (await import('./adapters/breached-passwords/list.js'))
          .openList(path, onProblem('BREACHED_PASSWORDS_LIST'))
          .catch((error: Error) => {
            throw new Error(`BREACHED_PASSWORDS_LIST: ${error.message}`, { cause: error });
          });
  const range =
    url === null
      ? noneBreached
      : (await import('./adapters/breached-passwords/range.js')).createRangeCheck({
          url,
          onProblem: onProblem('BREACHED_PASSWORDS_URL'),
        });
  return {
    has: async (password) => (await list?.has(password)) || range.has(password),
    async close() {
      await list?.close();
    },
  };
}

/** Outside production the first KEK is made; in production somebody has to decide where it is kept. */
export function openKeks({ KEYS_DIR, production }: Config, log: Log): KekSource {
  if (!production && !hasKek(KEYS_DIR)) {
    try {
      const path = makeKek(KEYS_DIR, systemClock.now(), systemRandom);
      log.info({ path }, 'made a key-encryption key; keep a copy of it with your backups');
    } catch (error) {
      // Another process that starts at the same moment was first.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return readKeks(KEYS_DIR);
}

/** A signer that may have something to say before its first use, and to give back after the last. */
export type OpenSigner = TokenSigner & { prepare?(): Promise<void>; close?(): void };

/**
 * Keys in this process, in a PKCS #11 token, or, while one takes the place of the other, in both. Where there is no token
 * that can be used, `prepare` rejects with one line for the operator: what is in the process is good all the same.
 */
export async function openSigner(config: Config): Promise<OpenSigner> {
  const { PKCS11_MODULE: module, PKCS11_TOKEN: token, PKCS11_PIN: pin } = config;
  if (module === null || token === null || pin === null) return severalSigners(nodeTokenSigner);
  const { createPkcs11Signer } = await import('./adapters/pkcs11/token-signer.js');
  const device = createPkcs11Signer({ module, token, pin, random: systemRandom, verifySignature });
  const { close } = device;
  if (config.SIGNER === 'local') return { ...severalSigners(nodeTokenSigner, device), close };
  return { ...severalSigners(device, nodeTokenSigner), prepare: () => device.ensureSupport(config.SIGNING_ALG), close };
}
