/** Wires adapters into domain into services: the one place that knows all layers. */
import type { FastifyBaseLogger } from 'fastify';
import { createPasswordHasher } from './adapters/argon2/password-hasher.js';
import { isCommonPassword } from './adapters/common-passwords/common-passwords.js';
import { createInProcessAnnouncements } from './adapters/in-process/announcements.js';
import { createInProcessLimiter } from './adapters/in-process/attempt-limiter.js';
import { createInProcessProjection } from './adapters/in-process/revocation-projection.js';
import { hasKek, makeKek, readKeks } from './adapters/kek-files/kek-source.js';
import { nodeTokenSigner, readPrivateKey, thumbprint, verifySignature } from './adapters/node-crypto/token-signer.js';
import { createAuditLog } from './adapters/postgres/audit.js';
import { createAuditSeals } from './adapters/postgres/audit-seals.js';
import { createAuditTrail } from './adapters/postgres/audit-trail.js';
import { createClientStore } from './adapters/postgres/client-store.js';
import type { Database } from './adapters/postgres/database.js';
import { createDeviceStore } from './adapters/postgres/device-store.js';
import { createExpiredRows } from './adapters/postgres/expired-rows.js';
import { installationOf } from './adapters/postgres/installation.js';
import { createRevocationStore } from './adapters/postgres/revocation-store.js';
import { createSessionStore } from './adapters/postgres/session-store.js';
import { createSigningKeyStore } from './adapters/postgres/signing-key-store.js';
import { createUserStore } from './adapters/postgres/user-store.js';
import { severalSigners } from './adapters/several-signers/token-signer.js';
import { systemClock } from './adapters/system/clock.js';
import { systemRandom } from './adapters/system/random.js';
import { within } from './adapters/system/within.js';
import type { Config } from './config.js';
import { createAccessTokenIssuer, createAccessTokenVerifier, type VerifyAccessToken } from './domain/access-token.js';
import { createAccounts } from './domain/accounts.js';
import { createAuditAdministration } from './domain/audit-administration.js';
import { createAuditSealing } from './domain/audit-sealing.js';
import { createBlocks } from './domain/blocks.js';
import { createCleanUp } from './domain/clean-up.js';
import { createClientAdministration } from './domain/client-administration.js';
import { createIssueToClient } from './domain/client-credentials.js';
import { createClientDirectory } from './domain/client-directory.js';
import { createClients } from './domain/clients.js';
import { createDevices } from './domain/devices.js';
import { createIds } from './domain/ids.js';
import { createIntrospect } from './domain/introspection.js';
import { createKeyRing, type KeyRing } from './domain/key-ring.js';
import { createKeyVault } from './domain/key-vault.js';
import { createGuard } from './domain/limits.js';
import { createAcceptPassword } from './domain/passwords.js';
import { createReadiness } from './domain/readiness.js';
import { createRefresh } from './domain/refresh.js';
import { createRevocationAdministration } from './domain/revocation-administration.js';
import { createRevocationFeed } from './domain/revocation-feed.js';
import { createRevocations, type Revocations } from './domain/revocations.js';
import { createSessionTokens } from './domain/session-tokens.js';
import { createSessions } from './domain/sessions.js';
import { createSigningKeys } from './domain/signing-keys.js';
import { createSlidingSessions } from './domain/sliding-sessions.js';
import { createRevokeToken } from './domain/token-revocation.js';
import { createUserAdministration } from './domain/user-administration.js';
import type { HttpSettings } from './http/app.js';
import type { Administration, Services } from './http/services.js';
import type { Announcements } from './ports/announcements.js';
import type { LimiterOf, LimitSettings } from './ports/attempt-limiter.js';
import type { AuditLog } from './ports/audit-log.js';
import { type BreachedPasswords, noneBreached } from './ports/breached-passwords.js';
import type { Clock } from './ports/clock.js';
import type { DatabaseHealth } from './ports/database-health.js';
import type { KekSource } from './ports/kek-source.js';
import type { Metrics } from './ports/metrics.js';
import type { PasswordHasher } from './ports/password-hasher.js';
import type { Places } from './ports/places.js';
import type { Random } from './ports/random.js';
import type { RevocationProjection } from './ports/revocation-projection.js';
import type { TokenSigner } from './ports/token-signer.js';

/** Seconds. Failures of an address are counted by the minute, those at an account by the quarter of an hour. */
const FAILURE_WINDOW_S = 60;
const ACCOUNT_WINDOW_S = 900;
/** Seconds. An account is slowed down by this at first, and by twice as much each time, up to the other. */
const FIRST_DELAY_S = 1;
const LONGEST_DELAY_S = 900;

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** How nodes hear of each other, and count together. */
export interface Messaging {
  announcements: Announcements;
  projection: RevocationProjection;
  limiterOf: LimiterOf;
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
  random: Random;
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
      async close() {},
    };
  }
  const [{ connectRedis }, { createRedisAnnouncements }, { createRedisProjection }, limiters, insured] =
    await Promise.all([
      import('./adapters/redis/connection.js'),
      import('./adapters/redis/announcements.js'),
      import('./adapters/redis/revocation-projection.js'),
      import('./adapters/redis/attempt-limiter.js'),
      import('./adapters/insured/attempt-limiter.js'),
    ]);
  const redis = connectRedis(REDIS_URL, (problem) => log.warn({ problem }, 'Redis cannot be reached'));
  const installation = installationOf(database);
  const shared = insured.createShared(systemClock, (reached) => {
    metrics.failuresShared(reached);
    if (reached) log.info({}, 'failed attempts are counted for all nodes again');
    else log.warn({}, 'failed attempts are counted by each node for itself: Redis does not answer');
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
    close: redis.close,
  };
}

/** Loaded here: the commands have no use for it. */
export async function openPlaces({ GEOIP_DB }: Config): Promise<Places> {
  const geo = await import('./adapters/geo/places.js');
  return geo.openPlaces(GEOIP_DB ?? geo.COUNTRY_DATABASE).catch((error: Error) => {
    throw new Error(`${GEOIP_DB === null ? 'the country database' : 'GEOIP_DB:'} ${error.message}`, { cause: error });
  });
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

const createHasher = (config: Config): PasswordHasher =>
  createPasswordHasher({
    memoryKib: config.ARGON2_MEMORY_KIB,
    timeCost: config.ARGON2_TIME_COST,
    parallelism: config.ARGON2_PARALLELISM,
    concurrency: config.ARGON2_CONCURRENCY,
    queue: config.ARGON2_QUEUE,
  });

export const httpSettings = (config: Config, logger: FastifyBaseLogger): HttpSettings => ({
  logger,
  trustProxy: config.TRUST_PROXY,
  corsOrigins: config.CORS_ORIGINS,
  limitRequests: config.LIMIT_REQUESTS,
  accessTokenHeader: config.ACCESS_TOKEN_HEADER,
  authorizeAudience: config.AUTHORIZE_AUDIENCE,
});

/** What the administration stands on. */
export type Ground = Omit<Foundation, 'places' | 'limiterOf'>;

const composeRevocations = (config: Config, { database, projection, metrics, clock }: Ground): Revocations =>
  createRevocations({
    store: createRevocationStore(database),
    projection,
    metrics,
    clock,
    failOpen: config.REVOCATION_FAIL_MODE === 'open',
    within,
  });

const composeVerifier = (config: Config, { clock }: Ground, keys: KeyRing): VerifyAccessToken =>
  createAccessTokenVerifier({ issuer: config.ISSUER, keys, verifySignature, clock });

function composeKeys(config: Config, { database, health, announcements, keks, signer, clock, random }: Ground) {
  const store = createSigningKeyStore(database, health);
  const vault = createKeyVault({ keks, signer, random, thumbprint });
  const ring = createKeyRing({ store, vault, announcements, clock, alg: config.SIGNING_ALG });
  const settings = { alg: config.SIGNING_ALG, rotationDays: config.KEY_ROTATION_DAYS };
  return {
    keys: ring,
    signingKeys: createSigningKeys({ store, vault, ring, announcements, readPrivateKey, within, settings }),
  };
}

/** Also by itself, for the command line where no service runs. */
export function composeAdministration(
  config: Config,
  ground: Ground,
  hasher = createHasher(config),
  { keys, signingKeys } = composeKeys(config, ground),
  revocations = composeRevocations(config, ground),
): Administration {
  const { database, announcements, clock, random } = ground;
  const sessions = createSessionStore(database);
  return {
    users: createUserAdministration({
      users: createUserStore(database),
      sessions,
      hasher,
      revocations,
      acceptPassword: createAcceptPassword(isCommonPassword, ground.breachedPasswords),
      clock,
      random,
      ids: createIds(clock, random),
    }),
    clients: createClientAdministration({
      store: createClientStore(database),
      revocations,
      announcements,
      clock,
      random,
    }),
    keys: signingKeys,
    revocations: createRevocationAdministration({
      store: createRevocationStore(database),
      sessions,
      verify: composeVerifier(config, ground, keys),
      revocations,
      clock,
    }),
    audit: createAuditAdministration(createAuditTrail(database), createAuditSeals(database)),
  };
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

function composeGuard(config: Config, { limiterOf, metrics, clock }: Foundation, audit: AuditLog) {
  const { LIMIT_FAILURES: failures, LIMIT_ACCOUNT_FAILURES: accountFailures } = config;
  const slowing = { window: ACCOUNT_WINDOW_S, block: FIRST_DELAY_S, longestBlock: LONGEST_DELAY_S };
  const blocks = createBlocks({ audit, metrics, clock });
  const guard = createGuard({
    limiters: {
      address: limiterOf('address', { failures, window: FAILURE_WINDOW_S, block: config.LIMIT_BLOCK }),
      account: limiterOf('account', { ...slowing, failures: accountFailures }),
      // A device is not let off altogether where accounts are not counted.
      device: limiterOf('device', { ...slowing, failures: accountFailures || failures }),
    },
    width: failures || Number.POSITIVE_INFINITY,
    blocks,
  });
  return { guard, blocks };
}

export function compose(config: Config, foundation: Foundation): Services {
  const { database, announcements, places, metrics, clock, random } = foundation;
  const ids = createIds(clock, random);
  const sessionStore = createSessionStore(database);
  const audit = createAuditLog(database);
  const clientStore = createClientStore(database);
  const clients = createClients(clientStore, audit, clock, random);
  const directory = createClientDirectory(clientStore);
  const { guard, blocks } = composeGuard(config, foundation, audit);
  const { keys, signingKeys } = composeKeys(config, foundation);
  const revocations = composeRevocations(config, foundation);
  const accessTokens = createAccessTokenIssuer(config.ISSUER, keys);
  const tokens = createSessionTokens(accessTokens, ids.jti);
  const verify = composeVerifier(config, foundation, keys);
  const hasher = createHasher(config);
  const sessions = createSessions({ store: sessionStore, verify, revocations, clock });
  const revocationStore = createRevocationStore(database);
  return {
    issuer: config.ISSUER,
    accounts: createAccounts({
      users: createUserStore(database),
      sessions: sessionStore,
      clients,
      audit,
      hasher,
      acceptPassword: createAcceptPassword(isCommonPassword, foundation.breachedPasswords),
      tokens,
      guard,
      devices: createDevices({ store: createDeviceStore(database), clock, random, ids }),
      revocations,
      clock,
      random,
      ids,
    }),
    sessions,
    refresh: createRefresh({
      sessions: sessionStore,
      audit,
      revocations,
      metrics,
      tokens,
      clock,
      random,
      settings: {
        replayWindow: config.REFRESH_REPLAY_WINDOW ?? Number.POSITIVE_INFINITY,
        reuseLeeway: config.REFRESH_REUSE_LEEWAY,
        audited: config.AUDIT_REFRESHES,
      },
    }),
    clients,
    directory,
    renewToken: createSlidingSessions({ store: sessionStore, directory, tokens, revocations, metrics, clock, within }),
    administration: composeAdministration(config, foundation, hasher, { keys, signingKeys }, revocations),
    revocations,
    feed: createRevocationFeed({ store: revocationStore, revocations, metrics, clock, limit: config.LIMIT_FEEDS }),
    issueToClient: createIssueToClient(accessTokens, ids),
    revokeToken: createRevokeToken({ sessions, store: revocationStore, verify, revocations, clock }),
    introspect: createIntrospect({ issuer: config.ISSUER, verify, store: sessionStore, revocations, clock }),
    guard,
    blocks,
    keys,
    signingKeys,
    auditSealing: createAuditSealing(createAuditSeals(database), metrics),
    cleanUp: createCleanUp({
      rows: createExpiredRows(database),
      seals: createAuditSeals(database),
      auditRetention: config.AUDIT_RETENTION,
      metrics,
      clock,
    }),
    readiness: createReadiness(foundation.health, announcements, revocations, keys, clock, within),
    places,
    metrics,
  };
}
