/**
 * The configuration: every variable with its meaning, its default and how it is read, checked all at once. This is the
 * only reader of process.env. docs/configuration.md is made from this table.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  audience,
  boolean,
  duration,
  headerName,
  integer,
  issuer,
  list,
  listeningAddress,
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

/** Lists every bad variable with what is wrong with it, and no value of a secret one. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: readonly string[]) {
    super(`the configuration is wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

interface Variable<T> {
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
      'City or country database (an mmdb file) for the places of devices, read once, at the start. Default: countries, from the database that comes with the service',
    default: null,
    parse: text,
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
};

type Variables = typeof variables;
type Values = {
  [Name in keyof Variables]:
    | ReturnType<Variables[Name]['parse']>
    | (Variables[Name]['default'] extends string ? never : null);
};

export interface Config extends Omit<Values, 'ISSUER'> {
  ISSUER: string;
  production: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Throws ConfigError with all problems. What production asks for concerns the service: a command that makes the first
 * KEK, say, runs before all of that is there.
 */
export function readConfig(env: Environment = process.env, purpose: 'service' | 'command' = 'service'): Config {
  const problems: string[] = [];
  const entries = Object.entries(variables) as [keyof Variables, Variable<unknown>][];
  const values = Object.fromEntries(entries.map(([name, spec]) => [name, read(name, spec, env, problems)])) as Values;
  const production = values.NODE_ENV === 'production';
  if (production && purpose === 'service') {
    const named = new Set(problems.map(nameOf));
    problems.push(...productionProblems(values).filter((problem) => !named.has(nameOf(problem))));
  }
  if (values.METRICS_PORT !== null && values.METRICS_PORT === values.PORT)
    problems.push('METRICS_PORT: must be another port than PORT');
  problems.push(...signerProblems(values, problems));
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...values, ISSUER: values.ISSUER ?? listeningAddress(values.HOST, values.PORT), production };
}

/** The value of NAME, or the content of the file that NAME_FILE names; an empty one counts as unset. */
function read(name: string, spec: Variable<unknown>, env: Environment, problems: string[]): unknown {
  const given = env[name] || undefined;
  const file = env[`${name}_FILE`] || undefined;
  if (given !== undefined && file !== undefined) {
    problems.push(`${name} and ${name}_FILE are both set: unset one`);
    return null;
  }
  let value = given;
  if (file !== undefined) {
    try {
      value = readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push(`${name}_FILE: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
      return null;
    }
  }
  value ??= spec.default ?? undefined;
  if (value === undefined) return null;
  try {
    return spec.parse(value);
  } catch (what) {
    if (typeof what !== 'string') throw what;
    problems.push(`${file === undefined ? name : `${name}_FILE`}: expected ${what}`);
    return null;
  }
}

/** A problem begins with its variable. */
const nameOf = (problem: string): string => problem.split(/[: ]/, 1)[0] ?? '';

function productionProblems(values: Values): string[] {
  const problems: string[] = [];
  if (values.ISSUER === null) problems.push('ISSUER: must be set in production');
  else if (!values.ISSUER.startsWith('https:')) problems.push('ISSUER: must be https: in production');
  if (values.DATABASE_URL !== null && values.REDIS_URL === null && !values.SINGLE_PROCESS) {
    problems.push('REDIS_URL: must be set in production with a DATABASE_URL, unless SINGLE_PROCESS=true');
  }
  return problems;
}

/** A token that no new key is made in may still hold old ones, so that it can be named with SIGNER=local too. */
function signerProblems(values: Values, problems: readonly string[]): string[] {
  const names = ['PKCS11_MODULE', 'PKCS11_TOKEN', 'PKCS11_PIN'] as const;
  const named = new Set(problems.map(nameOf).map((name) => name.replace(/_FILE$/, '')));
  const needed = values.SIGNER === 'pkcs11' || names.some((name) => values[name] !== null);
  return names
    .filter((name) => needed && values[name] === null && !named.has(name))
    .map((name) => `${name}: must be set with SIGNER=pkcs11, or with the others of the token`);
}
