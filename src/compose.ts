/** Wires adapters into domain into services: the one place that knows all layers. */
import { createPasswordHasher } from './adapters/argon2/password-hasher.js';
import { isCommonPassword } from './adapters/common-passwords/common-passwords.js';
import { createInProcessAnnouncements } from './adapters/in-process/announcements.js';
import { createInProcessLimiter } from './adapters/in-process/attempt-limiter.js';
import { hasKek, makeKek, readKeks } from './adapters/kek-files/kek-source.js';
import { nodeTokenSigner, thumbprint, verifySignature } from './adapters/node-crypto/token-signer.js';
import { createAuditLog } from './adapters/postgres/audit.js';
import { createClientStore } from './adapters/postgres/client-store.js';
import type { Database } from './adapters/postgres/database.js';
import { createDatabaseHealth } from './adapters/postgres/health.js';
import { createSessionStore } from './adapters/postgres/session-store.js';
import { createSigningKeyStore } from './adapters/postgres/signing-key-store.js';
import { createUserStore } from './adapters/postgres/user-store.js';
import { connectAnnouncements } from './adapters/redis/announcements.js';
import { severalSigners } from './adapters/several-signers/token-signer.js';
import { systemClock } from './adapters/system/clock.js';
import { systemRandom } from './adapters/system/random.js';
import { within } from './adapters/system/within.js';
import type { Config } from './config.js';
import { createAccessTokenIssuer, createAccessTokenVerifier } from './domain/access-token.js';
import { createAccounts } from './domain/accounts.js';
import { createIssueToClient } from './domain/client-credentials.js';
import { createClients } from './domain/clients.js';
import { createIds } from './domain/ids.js';
import { createKeyRing } from './domain/key-ring.js';
import { createGuard } from './domain/limits.js';
import { createReadiness } from './domain/readiness.js';
import { createRefresh } from './domain/refresh.js';
import { createSessionTokens } from './domain/session-tokens.js';
import { createSessions } from './domain/sessions.js';
import type { Services } from './http/services.js';
import type { Announcements } from './ports/announcements.js';
import type { Clock } from './ports/clock.js';
import type { KekSource } from './ports/kek-source.js';
import type { Metrics } from './ports/metrics.js';
import type { Places } from './ports/places.js';
import type { Random } from './ports/random.js';
import type { TokenSigner } from './ports/token-signer.js';

/** Seconds: failures are counted by the minute. */
const FAILURE_WINDOW_S = 60;

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** What the service stands on; tests put their own in its place. */
export interface Foundation {
  database: Database;
  announcements: Announcements & { close?(): Promise<void> };
  keks: KekSource;
  signer: TokenSigner;
  places: Places;
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

export function openAnnouncements({ REDIS_URL }: Config, log: Log): Foundation['announcements'] {
  if (REDIS_URL === null) return createInProcessAnnouncements();
  return connectAnnouncements(REDIS_URL, (problem) => log.warn({ problem }, 'Redis cannot be reached'));
}

/** Loaded here: the commands have no use for it. */
export async function openPlaces({ GEOIP_DB }: Config): Promise<Places> {
  const geo = await import('./adapters/geo/places.js');
  return geo.openPlaces(GEOIP_DB ?? geo.COUNTRY_DATABASE).catch((error: Error) => {
    throw new Error(`${GEOIP_DB === null ? 'the country database' : 'GEOIP_DB:'} ${error.message}`, { cause: error });
  });
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

/**
 * Keys in this process, in a PKCS #11 token, or, while one takes the place of the other, in both. Rejects with one line
 * for the operator when the token cannot be used.
 */
export async function openSigner(config: Config): Promise<TokenSigner & { close?(): void }> {
  const { PKCS11_MODULE: module, PKCS11_TOKEN: token, PKCS11_PIN: pin } = config;
  if (module === null || token === null || pin === null) return severalSigners(nodeTokenSigner);
  const { createPkcs11Signer } = await import('./adapters/pkcs11/token-signer.js');
  const device = createPkcs11Signer({ module, token, pin, random: systemRandom, verifySignature });
  const { close } = device;
  if (config.SIGNER === 'local') return { ...severalSigners(nodeTokenSigner, device), close };
  try {
    await device.ensureSupport(config.SIGNING_ALG);
  } catch (error) {
    close();
    throw new Error(`the PKCS #11 token cannot be used: ${(error as Error).message}`, { cause: error });
  }
  return { ...severalSigners(device, nodeTokenSigner), close };
}

export function compose(config: Config, foundation: Foundation): Services {
  const { database, announcements, keks, signer, places, metrics, clock, random } = foundation;
  const ids = createIds(clock, random);
  const sessionStore = createSessionStore(database);
  const audit = createAuditLog(database);
  const clients = createClients(createClientStore(database), clock, random);
  const guard = createGuard(
    createInProcessLimiter({ failures: config.LIMIT_FAILURES, window: FAILURE_WINDOW_S, block: config.LIMIT_BLOCK }),
  );
  const keys = createKeyRing({
    store: createSigningKeyStore(database),
    keks,
    signer,
    announcements,
    clock,
    random,
    alg: config.SIGNING_ALG,
    thumbprint,
  });
  const accessTokens = createAccessTokenIssuer(config.ISSUER, keys);
  const tokens = createSessionTokens(accessTokens, ids.jti);
  const verify = createAccessTokenVerifier({ issuer: config.ISSUER, keys, verifySignature, clock });
  const hasher = createPasswordHasher({
    memoryKib: config.ARGON2_MEMORY_KIB,
    timeCost: config.ARGON2_TIME_COST,
    parallelism: config.ARGON2_PARALLELISM,
    concurrency: config.ARGON2_CONCURRENCY,
    queue: config.ARGON2_QUEUE,
  });
  return {
    issuer: config.ISSUER,
    accounts: createAccounts({
      users: createUserStore(database),
      sessions: sessionStore,
      clients,
      audit,
      hasher,
      isCommonPassword,
      tokens,
      guard,
      clock,
      random,
      ids,
    }),
    sessions: createSessions(sessionStore, verify, clock),
    refresh: createRefresh({
      sessions: sessionStore,
      audit,
      metrics,
      tokens,
      clock,
      random,
      settings: {
        replayWindow: config.REFRESH_REPLAY_WINDOW ?? Number.POSITIVE_INFINITY,
        reuseLeeway: config.REFRESH_REUSE_LEEWAY,
      },
    }),
    clients,
    issueToClient: createIssueToClient(accessTokens, ids, clock),
    guard,
    keys,
    readiness: createReadiness(createDatabaseHealth(database), announcements, keys, clock, within),
    places,
    metrics,
  };
}
