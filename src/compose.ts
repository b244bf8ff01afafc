/** Wires adapters into domain into services: the one place that knows all layers. */
import type { FastifyBaseLogger } from 'fastify';
import { isCommonPassword } from './adapters/common-passwords/common-passwords.js';
import { createWebhookSender } from './adapters/http-webhooks/sender.js';
import { createAuditLog } from './adapters/postgres/audit.js';
import { createAuditSeals } from './adapters/postgres/audit-seals.js';
import { createClientStore } from './adapters/postgres/client-store.js';
import { createDeviceStore } from './adapters/postgres/device-store.js';
import { createExpiredRows } from './adapters/postgres/expired-rows.js';
import { createRevocationStore } from './adapters/postgres/revocation-store.js';
import { createSessionStore } from './adapters/postgres/session-store.js';
import { createUserStore } from './adapters/postgres/user-store.js';
import { createWebhookOutbox } from './adapters/postgres/webhook-outbox.js';
import { within } from './adapters/system/within.js';
import {
  composeAddresses,
  composeAdministration,
  composeKeys,
  composeRevocations,
  composeVerifier,
  createHasher,
} from './compose-administration.js';
import { composeDetection, composeGuard, composeRequestLimiters } from './compose-protection.js';
import type { Config } from './config.js';
import { createAccessTokenIssuer } from './domain/access-token.js';
import { createAccounts } from './domain/accounts.js';
import { createAuditSealing } from './domain/audit-sealing.js';
import { createCleanUp } from './domain/clean-up.js';
import { createIssueToClient } from './domain/client-credentials.js';
import { createClientDirectory } from './domain/client-directory.js';
import { createClients } from './domain/clients.js';
import { createDevices } from './domain/devices.js';
import { createIds } from './domain/ids.js';
import { createIntrospect } from './domain/introspection.js';
import { createAcceptPassword } from './domain/passwords.js';
import { createReadiness } from './domain/readiness.js';
import { createRefresh } from './domain/refresh.js';
import { createRevocationFeed } from './domain/revocation-feed.js';
import { createSessionTokens } from './domain/session-tokens.js';
import { createSessions } from './domain/sessions.js';
import { createShedding } from './domain/shedding.js';
import { createSlidingSessions } from './domain/sliding-sessions.js';
import { createProvePassword } from './domain/step-up.js';
import { createRevokeToken } from './domain/token-revocation.js';
import { createWebhookSecrets } from './domain/webhook-secrets.js';
import { createWebhookSending } from './domain/webhook-sending.js';
import type { Foundation } from './foundation.js';
import type { HttpSettings } from './http/app.js';
import type { Services } from './http/services.js';

export const httpSettings = (config: Config, logger: FastifyBaseLogger): HttpSettings => ({
  logger,
  trustProxy: config.TRUST_PROXY,
  connections: { all: config.LIMIT_CONNECTIONS, perAddress: config.LIMIT_CONNECTIONS_PER_ADDRESS },
  corsOrigins: config.CORS_ORIGINS,
  accessTokenHeader: config.ACCESS_TOKEN_HEADER,
  authorizeAudience: config.AUTHORIZE_AUDIENCE,
});

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
  const hasher = createHasher(config, metrics);
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
      database: () => {
        const pool = database.pool?.();
        // The pool counts statements, and refreshes share theirs.
        return pool === undefined ? null : { waiting: pool.waiting + sessionStore.late() };
      },
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
