/**
 * The configuration: all variables are read and checked at once. This is the only reader of process.env.
 */
import { readFileSync } from 'node:fs';
import { listeningAddress } from './config-values.js';
import { type Variable, variables } from './config-variables.js';

/** Lists every bad variable with what is wrong with it, and no value of a secret one. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: readonly string[]) {
    super(`the configuration is wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

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
