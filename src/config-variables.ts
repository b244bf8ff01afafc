/** Every variable of the environment with its meaning, its default and how it is read: docs/configuration.md is made from it. */
import { availableParallelism } from 'node:os';
import {
  audience,
  boolean,
  duration,
  headerName,
  integer,
  issuer,
  list,
  network,
  oneOf,
  origin,
  postgresUrl,
  rangeUrl,
  redisUrl,
  retention,
  text,
} from './config-values.js';
import { type SigningAlg, signingAlgs } from './domain/types.js';

export interface Variable<T> {
  meaning: string;
  /** As text, for the documentation; the value when the variable is unset is what `parse` makes of it, or null. */
  default: string | null;
  /** Where the default depends on the machine: what the documentation says of it. */
  defaultMeaning?: string;
  /** Throws a string that says what is expected; never the value. */
  parse: (text: string) => T;
  secret?: true;
}

const variable = <T, Default extends string | null>(value: Variable<T> & { default: Default }) => value;

/** Half of libuv's four threads, and never all cores: signing keeps the rest. */
const defaultHashConcurrency = Math.max(1, Math.min(2, availableParallelism()));

export const variables = {
  NODE_ENV: variable({
    meaning: '`production` asks for an explicit ISSUER, KEK and Redis',
    default: 'development',
    parse: oneOf('development', 'test', 'production'),
  }),
  HOST: variable({ meaning: 'Address to listen on', default: '127.0.0.1', parse: text }),
  PORT: variable({ meaning: 'Port to listen on', default: '3000', parse: integer(1, 65_535) }),
  ISSUER: variable({
    meaning:
      '`iss` of every token and the base of the published addresses; required in production, `https:` there. Default: the listening address',
    default: null,
    parse: issuer,
  }),
  DATABASE_URL: variable({
    meaning: 'PostgreSQL; unset: an embedded Postgres in DATA_DIR',
    default: null,
    parse: postgresUrl,
    secret: true,
  }),
  DATABASE_POOL: variable({ meaning: 'Connections to PostgreSQL', default: '10', parse: integer(1, 1000) }),
  DATA_DIR: variable({ meaning: 'Folder of the embedded Postgres', default: './data', parse: text }),
  REDIS_URL: variable({
    meaning: 'Redis; unset: in the process. Required in production with a DATABASE_URL, unless SINGLE_PROCESS',
    default: null,
    parse: redisUrl,
    secret: true,
  }),
  SINGLE_PROCESS: variable({
    meaning: 'There is only this one process, so that it needs no Redis',
    default: 'false',
    parse: boolean,
  }),
  KEYS_DIR: variable({ meaning: 'Folder of the key-encryption keys', default: './keys', parse: text }),
  SIGNER: variable({
    meaning: 'Where new signing keys are made and kept: sealed in the database, or in a PKCS #11 token (docs/hsm.md)',
    default: 'local',
    parse: oneOf('local', 'pkcs11'),
  }),
  PKCS11_MODULE: variable({ meaning: 'Path of the PKCS #11 library of an HSM', default: null, parse: text }),
  PKCS11_TOKEN: variable({ meaning: 'Label of the token in it', default: null, parse: text }),
  PKCS11_PIN: variable({ meaning: 'User PIN of the token', default: null, parse: text, secret: true }),
  SIGNING_ALG: variable({
    meaning: 'Algorithm that tokens are signed with; a change is a rotation',
    default: 'RS256',
    parse: oneOf<SigningAlg>(...signingAlgs),
  }),
  KEY_ROTATION_DAYS: variable({
    meaning: 'Age at which the signing key is rotated; 0 turns it off',
    default: '30',
    parse: integer(0, 3650),
  }),
  TRUST_PROXY: variable({
    meaning: 'Addresses and networks of the proxies whose X-Forwarded-For is believed, comma-separated',
    default: '',
    parse: list(network),
  }),
  CORS_ORIGINS: variable({
    meaning: 'Origins of browser clients, comma-separated, exact',
    default: '',
    parse: list(origin),
  }),
  ACCESS_TOKEN_HEADER: variable({
    meaning: 'Response header for clients with header delivery',
    default: 'jwt',
    parse: headerName,
  }),
  AUTHORIZE_AUDIENCE: variable({
    meaning: 'Audience of the tokens that `/v1/authorize` lets pass, where the check does not name one',
    default: null,
    parse: audience,
  }),
  REFRESH_REPLAY_WINDOW: variable({
    meaning: 'How long a retry with its Idempotency-Key is answered. Default: as long as the session lives',
    default: null,
    parse: duration,
  }),
  REFRESH_REUSE_LEEWAY: variable({
    meaning: 'How long a used refresh token still counts as a parallel request of the same client',
    default: '10s',
    parse: duration,
  }),
  REVOCATION_FAIL_MODE: variable({
    meaning: '`open` lets tokens through when their revocation is unknown',
    default: 'closed',
    parse: oneOf('closed', 'open'),
  }),
  AUDIT_RETENTION: variable({
    meaning: 'How long audit events are kept, as days or a duration; whole days of UTC are removed. 0: for ever',
    default: '400d',
    parse: retention,
  }),
  AUDIT_REFRESHES: variable({
    meaning: 'Each rotation of a refresh token leaves an audit event, too',
    default: 'false',
    parse: boolean,
  }),
  LOG_LEVEL: variable({
    meaning: 'Least level that is logged',
    default: 'info',
    parse: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
  }),
  METRICS_PORT: variable({
    meaning: 'Port of `/metrics`, on HOST like PORT, and without any password: keep it from the public. Unset: none',
    default: null,
    parse: integer(1, 65_535),
  }),
  GEOIP_DB: variable({
    meaning:
      'City or country database (an mmdb file) for the places of devices; looked at every minute, and read anew when it has changed. Default: countries, from the database that comes with the service',
    default: null,
    parse: text,
  }),
  GEOIP_ASN_DB: variable({
    meaning:
      'Database (an mmdb file) of the networks that addresses belong to, such as GeoLite2-ASN; read anew like GEOIP_DB. Unset: networks are told apart by their addresses',
    default: null,
    parse: text,
  }),
  ANOMALY_DETECTION: variable({
    meaning: 'Uses of sessions are scored, and something is done about those that look stolen (docs/detection.md)',
    default: 'true',
    parse: boolean,
  }),
  BREACHED_PASSWORDS_URL: variable({
    meaning:
      'Service that is asked whether a new password is known from a breach, at `/range/` and five digits of its SHA-1, such as https://api.pwnedpasswords.com. Unset: none',
    default: null,
    parse: rangeUrl,
  }),
  BREACHED_PASSWORDS_LIST: variable({
    meaning: 'File with the SHA-1 of passwords that are known from breaches, sorted, one on each line. Unset: none',
    default: null,
    parse: text,
  }),
  WEBHOOK_PRIVATE_NETWORKS: variable({
    meaning:
      'Addresses and networks, comma-separated, to which webhooks are sent though they are not public (docs/webhooks.md)',
    default: '',
    parse: list(network),
  }),
  LIMIT_FAILURES: variable({
    meaning: 'Failed attempts a minute from one address before it is blocked; 0 turns it off',
    default: '5',
    parse: integer(0, 1_000_000),
  }),
  LIMIT_BLOCK: variable({ meaning: 'How long an address is blocked', default: '5m', parse: duration }),
  LIMIT_REQUESTS: variable({
    meaning: 'Requests a minute from one address; 0 turns it off',
    default: '600',
    parse: integer(0, 1_000_000_000),
  }),
  LIMIT_CLIENT_REQUESTS: variable({
    meaning: 'Requests a minute of one client that proves who it is, instead of those of its address; 0 turns it off',
    default: '6000',
    parse: integer(0, 1_000_000_000),
  }),
  LIMIT_SESSION_REQUESTS: variable({
    meaning: 'Requests a minute of one session; 0 turns it off',
    default: '300',
    parse: integer(0, 1_000_000_000),
  }),
  LIMIT_CHECKS: variable({
    meaning: 'Requests a minute of one session for which `/v1/authorize` is asked; 0 turns it off',
    default: '6000',
    parse: integer(0, 1_000_000_000),
  }),
  LIMIT_CONNECTIONS: variable({
    meaning: 'Connections to one process at one time',
    default: '10000',
    parse: integer(1, 1_000_000),
  }),
  LIMIT_CONNECTIONS_PER_ADDRESS: variable({
    meaning: 'Of these, from one address that is not in TRUST_PROXY; 0 turns it off',
    default: '500',
    parse: integer(0, 1_000_000),
  }),
  LIMIT_EVENT_LOOP_DELAY: variable({
    meaning:
      'Milliseconds by which the process may be late with all that it does before logins get 503; 0 turns it off (docs/limits.md)',
    default: '250',
    parse: integer(0, 60_000),
  }),
  LIMIT_FEEDS: variable({
    meaning: 'Services that may follow the revocations at one process at one time',
    default: '1000',
    parse: integer(1, 1_000_000),
  }),
  LIMIT_ACCOUNT_FAILURES: variable({
    meaning:
      'Failed attempts at one account in 15 minutes, from all addresses, before it slows down; 0 turns it off (docs/limits.md)',
    default: '10',
    parse: integer(0, 1_000_000),
  }),
  ARGON2_MEMORY_KIB: variable({
    meaning: 'Memory of one password hash, KiB',
    default: '19456',
    parse: integer(8, 4_194_304),
  }),
  ARGON2_TIME_COST: variable({ meaning: 'Passes of one password hash', default: '2', parse: integer(1, 1000) }),
  ARGON2_PARALLELISM: variable({ meaning: 'Lanes of one password hash', default: '1', parse: integer(1, 64) }),
  ARGON2_CONCURRENCY: variable({
    meaning: 'Password hashes computed at one time',
    default: String(defaultHashConcurrency),
    defaultMeaning: '2; 1 where there is one core',
    parse: integer(1, 1024),
  }),
  ARGON2_QUEUE: variable({
    meaning: 'Callers that may wait for a password hash; the next gets 503',
    default: '64',
    parse: integer(0, 100_000),
  }),
  ARGON2_WAIT: variable({
    meaning: 'Milliseconds for which they may wait; whoever would wait longer gets 503 at once',
    default: '5000',
    parse: integer(1, 3_600_000),
  }),
};
