/**
 * Tells "the database cannot be reached or will not do it now" (a Refusal: 503, try again) from a fault of ours. Neither
 * carries the driver's message on, since that can quote the values of a statement.
 */
import { Refusal } from '../../domain/errors.js';
import type { Database } from './database.js';

/** SQLSTATE classes and codes (PostgreSQL, appendix A) that another try may overcome. */
const passing = [
  '08', // connection exception
  '40', // transaction rollback: serialization failure, deadlock
  '53', // insufficient resources: too many connections, disk full
  '57', // operator intervention: shutdown, crash, cancelled by the statement timeout
  '55P03', // lock not available: somebody holds it for longer than is waited for
  '58', // system error
  '25006', // read-only: this server is no longer, or not yet, the primary
  '25P03', // idle in transaction too long
];

/** Prisma's own codes for the same: unreachable, timed out, no connection, transaction could not start, write conflict. */
const passingPrisma = new Set(['P1001', 'P1002', 'P1008', 'P1011', 'P1017', 'P2024', 'P2028', 'P2034', 'P2037']);

const RETRY_AFTER_S = 1;

/** A fault of the service, stripped of everything but its kind. */
export class DatabaseFault extends Error {
  override readonly name = 'DatabaseFault';
  constructor(readonly code: string) {
    super(`database error ${code}`);
  }
}

interface ErrorLike {
  code?: unknown;
  name?: unknown;
  cause?: unknown;
  meta?: { driverAdapterError?: unknown };
  originalCode?: unknown;
  kind?: unknown;
}

/** Every SQLSTATE of Postgres has a digit, and Prisma's codes and the system's, such as EPIPE, are as long. */
const isSqlState = (code: string): boolean => /^(?=\D*\d)[0-9A-Z]{5}$/.test(code) && !/^P[12]\d{3}$/.test(code);

/** The first SQLSTATE in an error or in what caused it. */
function sqlState(error: unknown, depth = 0): string | null {
  if (typeof error !== 'object' || error === null || depth > 4) return null;
  const { code, cause, meta, originalCode } = error as ErrorLike;
  for (const candidate of [originalCode, code]) {
    if (typeof candidate === 'string' && isSqlState(candidate)) return candidate;
  }
  return sqlState(meta?.driverAdapterError, depth + 1) ?? sqlState(cause, depth + 1);
}

/** The server did not answer: refused, reset, not found, timed out. */
const connectionCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  // A Unix socket whose server is not there.
  'ENOENT',
]);

/** pg has no codes for what happens to its own connections, only messages. */
const connectionMessages =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Cannot use a pool after calling end|There was an error establishing an SSL connection)/i;

function isConnectionFailure(error: unknown, depth = 0): string | null {
  if (!(error instanceof Error) || depth > 4) return null;
  const { code, cause, meta } = error as ErrorLike;
  if (typeof code === 'string' && (connectionCodes.has(code) || passingPrisma.has(code))) return code;
  if (connectionMessages.test(error.message)) return 'connection';
  return isConnectionFailure(meta?.driverAdapterError, depth + 1) ?? isConnectionFailure(cause, depth + 1);
}

/** Also for what the caller's own code threw between two statements: that is none of ours, and passes unchanged. */
export function translate(error: unknown): unknown {
  if (error instanceof Refusal || error instanceof DatabaseFault) return error;
  const state = sqlState(error);
  if (state !== null) {
    return passing.some((prefix) => state.startsWith(prefix)) ? unavailable(state) : new DatabaseFault(state);
  }
  const connection = isConnectionFailure(error);
  if (connection !== null) return unavailable(connection);
  const { code, name } = (error ?? {}) as ErrorLike;
  // Prisma's messages show the call with its values.
  if (typeof name === 'string' && name.startsWith('PrismaClient')) {
    return new DatabaseFault(typeof code === 'string' ? code : name);
  }
  return error;
}

const unavailable = (reason: string) =>
  new Refusal('store_unavailable', { retryAfter: RETRY_AFTER_S, cause: new DatabaseFault(reason) });

/** Unique violation, from the driver or from Prisma. */
const isUniqueViolation = (error: unknown): boolean =>
  error instanceof DatabaseFault && (error.code === '23505' || error.code === 'P2002');

/** False when something unique is there already; the transaction of `work` has then changed nothing. */
export async function unlessTaken(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isUniqueViolation(error)) return false;
    throw error;
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translate(error);
  }
}

/** The same database, with every failure translated. */
export function availability(database: Database): Database {
  return {
    ...database,
    orm: (work) => translated(() => database.orm(work)),
    query: (statement, values) => translated(() => database.query(statement, values)),
    transaction: (work) => translated(() => database.transaction(work)),
    session: (work) => translated(() => database.session(work)),
  };
}
