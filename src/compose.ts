/** Wires adapters into domain into services: the one place that knows all layers. */
import type { FastifyBaseLogger } from 'fastify';
import { createPasswordHasher } from './adapters/argon2/password-hasher.js';
import { isCommonPassword } from './adapters/common-passwords/common-passwords.js';
import { createWebhookSender } from './adapters/http-webhooks/sender.js';
import { readPrivateKey, thumbprint, verifySignature } from './adapters/node-crypto/token-signer.js';
import { createAuditLog } from './adapters/postgres/audit.js';
import { createAuditSeals } from './adapters/postgres/audit-seals.js';
import { createAuditTrail } from './adapters/postgres/audit-trail.js';
import { createClientStore } from './adapters/postgres/client-store.js';
import { createDetectionStore } from './adapters/postgres/detection-store.js';
import { createDeviceStore } from './adapters/postgres/device-store.js';
import { createExpiredRows } from './adapters/postgres/expired-rows.js';
import { createRevocationStore } from './adapters/postgres/revocation-store.js';
import { createSessionStore } from './adapters/postgres/session-store.js';
import { createSigningKeyStore } from './adapters/postgres/signing-key-store.js';
import { createUserStore } from './adapters/postgres/user-store.js';
import { createWebhookOutbox } from './adapters/postgres/webhook-outbox.js';
import { createWebhookStore } from './adapters/postgres/webhook-store.js';
import { within } from './adapters/system/within.js';
import { deviceOf } from './adapters/user-agents/device.js';
import type { Config } from './config.js';
import { createAccessTokenIssuer, createAccessTokenVerifier, type VerifyAccessToken } from './domain/access-token.js';
import { createAccounts } from './domain/accounts.js';
import { createAlarms } from './domain/alarms.js';
import { createAuditAdministration } from './domain/audit-administration.js';
import { createAuditSealing } from './domain/audit-sealing.js';
import { createBlocks } from './domain/blocks.js';
import { createCleanUp } from './domain/clean-up.js';
import { createClientAdministration } from './domain/client-administration.js';
import { createIssueToClient } from './domain/client-credentials.js';
import { createClientDirectory } from './domain/client-directory.js';
import { createClients } from './domain/clients.js';
import { createDetection, type Detection, noDetection } from './domain/detection.js';
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
import { createShedding } from './domain/shedding.js';
import { createSigningKeys } from './domain/signing-keys.js';
import { createSlidingSessions } from './domain/sliding-sessions.js';
import { createProvePassword } from './domain/step-up.js';
import { createRevokeToken } from './domain/token-revocation.js';
import { createUserAdministration } from './domain/user-administration.js';
import { createUses } from './domain/uses.js';
import { createWebhookAddresses } from './domain/webhook-addresses.js';
import { createWebhookAdministration } from './domain/webhook-administration.js';
import { createWebhookSecrets } from './domain/webhook-secrets.js';
import { createWebhookSending } from './domain/webhook-sending.js';
import type { Foundation } from './foundation.js';
import type { HttpSettings } from './http/app.js';
import type { RequestLimiters } from './http/request-limits.js';
import type { Administration, Services } from './http/services.js';
import type { AuditLog } from './ports/audit-log.js';
import type { PasswordHasher } from './ports/password-hasher.js';
import type { RequestSubject } from './ports/request-limiter.js';

/** Seconds. Failures of an address are counted by the minute, those at an account by the quarter of an hour. */
const FAILURE_WINDOW_S = 60;
const ACCOUNT_WINDOW_S = 900;
/** Seconds. An account is slowed down by this at first, and by twice as much each time, up to the other. */
const FIRST_DELAY_S = 1;
const LONGEST_DELAY_S = 900;

const createHasher = (config: Config): PasswordHasher =>
  createPasswordHasher({
    memoryKib: config.ARGON2_MEMORY_KIB,
    timeCost: config.ARGON2_TIME_COST,
    parallelism: config.ARGON2_PARALLELISM,
    concurrency: config.ARGON2_CONCURRENCY,
    queue: config.ARGON2_QUEUE,
    longestWait: config.ARGON2_WAIT,
  });

export const httpSettings = (config: Config, logger: FastifyBaseLogger): HttpSettings => ({
  logger,
  trustProxy: config.TRUST_PROXY,
  connections: { all: config.LIMIT_CONNECTIONS, perAddress: config.LIMIT_CONNECTIONS_PER_ADDRESS },
  corsOrigins: config.CORS_ORIGINS,
  accessTokenHeader: config.ACCESS_TOKEN_HEADER,
  authorizeAudience: config.AUTHORIZE_AUDIENCE,
});

/** What the administration stands on. */
export type Ground = Omit<Foundation, 'places' | 'limiterOf' | 'requestLimiterOf' | 'webhookSender' | 'eventLoop'>;

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

const composeAddresses = ({ WEBHOOK_PRIVATE_NETWORKS: networks, production }: Config) =>
  createWebhookAddresses({ networks, production });

const composeWebhooks = (config: Config, { database, keks, clock, random }: Ground) =>
  createWebhookAdministration({
    store: createWebhookStore(database),
    secrets: createWebhookSecrets(keks, random),
    addresses: composeAddresses(config),
    clock,
    ids: createIds(clock, random),
  });

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
  const webhooks = composeWebhooks(config, ground);
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
    keys: {
      ...signingKeys,
      // All that is sealed, or no key at all.
      async rewrap(by) {
        await webhooks.rewrap(by);
        return signingKeys.rewrap(by);
      },
    },
    webhooks,
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
    clock,
  });
  return { guard, blocks };
}

function composeDetection(
  config: Config,
  { database, places, metrics, clock }: Foundation,
  revocations: Revocations,
): Detection {
  if (!config.ANOMALY_DETECTION) return noDetection;
  const store = createDetectionStore(database);
  const sessions = createSessionStore(database);
  return createDetection({
    uses: createUses({ places, deviceOf, metrics, clock }),
    store,
    alarms: createAlarms({ store, sessions, revocations, metrics, clock }),
    metrics,
    clock,
  });
}

function composeRequestLimiters(config: Config, { requestLimiterOf }: Foundation): RequestLimiters {
  const limiter = (kind: RequestSubject, limit: number) => (limit === 0 ? null : requestLimiterOf(kind, limit));
  return {
    address: limiter('address', config.LIMIT_REQUESTS),
    client: limiter('client', config.LIMIT_CLIENT_REQUESTS),
    session: limiter('session', config.LIMIT_SESSION_REQUESTS),
    check: limiter('check', config.LIMIT_CHECKS),
  };
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
      provePassword: createProvePassword({ users: createUserStore(database), hasher, guard, audit, clock }),
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
    requestLimiters: composeRequestLimiters(config, foundation),
    shedding: createShedding({
      eventLoop: foundation.eventLoop,
      database: () => database.pool?.() ?? null,
      connections: config.DATABASE_POOL,
      hasher,
      eventLoopDelay: config.LIMIT_EVENT_LOOP_DELAY,
      metrics,
      random,
    }),
    blocks,
    detection: composeDetection(config, foundation, revocations),
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
    webhookSending: createWebhookSending({
      outbox: createWebhookOutbox(database),
      sender: foundation.webhookSender ?? createWebhookSender(composeAddresses(config)),
      secrets: createWebhookSecrets(foundation.keks, random),
      ids,
      clock,
      random,
      metrics,
    }),
    readiness: createReadiness(foundation.health, announcements, revocations, keys, clock, within),
    places,
    metrics,
  };
}
