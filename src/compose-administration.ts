/** What administrators do, wired: in the service, and by itself for the command line. */
import { createPasswordHasher } from './adapters/argon2/password-hasher.js';
import { isCommonPassword } from './adapters/common-passwords/common-passwords.js';
import { readPrivateKey, thumbprint, verifySignature } from './adapters/node-crypto/token-signer.js';
import { createAuditSeals } from './adapters/postgres/audit-seals.js';
import { createAuditTrail } from './adapters/postgres/audit-trail.js';
import { createClientStore } from './adapters/postgres/client-store.js';
import { createRevocationStore } from './adapters/postgres/revocation-store.js';
import { createSessionStore } from './adapters/postgres/session-store.js';
import { createSigningKeyStore } from './adapters/postgres/signing-key-store.js';
import { createUserStore } from './adapters/postgres/user-store.js';
import { createWebhookStore } from './adapters/postgres/webhook-store.js';
import { within } from './adapters/system/within.js';
import type { Config } from './config.js';
import { createAccessTokenVerifier, type VerifyAccessToken } from './domain/access-token.js';
import { createAuditAdministration } from './domain/audit-administration.js';
import { createClientAdministration } from './domain/client-administration.js';
import { createIds } from './domain/ids.js';
import { createKeyRing, type KeyRing } from './domain/key-ring.js';
import { createKeyVault } from './domain/key-vault.js';
import { createAcceptPassword } from './domain/passwords.js';
import { createRevocationAdministration } from './domain/revocation-administration.js';
import { createRevocations, type Revocations } from './domain/revocations.js';
import { createSigningKeys } from './domain/signing-keys.js';
import { createUserAdministration } from './domain/user-administration.js';
import { createWebhookAddresses } from './domain/webhook-addresses.js';
import { createWebhookAdministration } from './domain/webhook-administration.js';
import { createWebhookSecrets } from './domain/webhook-secrets.js';
import type { Foundation } from './foundation.js';
import type { Administration } from './http/services.js';
import type { Metrics } from './ports/metrics.js';
import type { PasswordHasher } from './ports/password-hasher.js';

export const createHasher = (config: Config, metrics: Pick<Metrics, 'shed'>): PasswordHasher =>
  createPasswordHasher(
    {
      memoryKib: config.ARGON2_MEMORY_KIB,
      timeCost: config.ARGON2_TIME_COST,
      parallelism: config.ARGON2_PARALLELISM,
      concurrency: config.ARGON2_CONCURRENCY,
      queue: config.ARGON2_QUEUE,
      longestWait: config.ARGON2_WAIT,
    },
    () => metrics.shed('hashes'),
  );

/** What the administration stands on. */
export type Ground = Omit<Foundation, 'places' | 'limiterOf' | 'requestLimiterOf' | 'webhookSender' | 'eventLoop'>;

export const composeRevocations = (config: Config, { database, projection, metrics, clock }: Ground): Revocations =>
  createRevocations({
    store: createRevocationStore(database),
    projection,
    metrics,
    clock,
    failOpen: config.REVOCATION_FAIL_MODE === 'open',
    within,
  });

export const composeVerifier = (config: Config, { clock }: Ground, keys: KeyRing): VerifyAccessToken =>
  createAccessTokenVerifier({ issuer: config.ISSUER, keys, verifySignature, clock });

export function composeKeys(config: Config, { database, health, announcements, keks, signer, clock, random }: Ground) {
  const store = createSigningKeyStore(database, health);
  const vault = createKeyVault({ keks, signer, random, thumbprint });
  const ring = createKeyRing({ store, vault, announcements, clock, alg: config.SIGNING_ALG });
  const settings = { alg: config.SIGNING_ALG, rotationDays: config.KEY_ROTATION_DAYS };
  return {
    keys: ring,
    signingKeys: createSigningKeys({ store, vault, ring, announcements, readPrivateKey, within, settings }),
  };
}

export const composeAddresses = ({ WEBHOOK_PRIVATE_NETWORKS: networks, production }: Config) =>
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
  hasher = createHasher(config, ground.metrics),
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
