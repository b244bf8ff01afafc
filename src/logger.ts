/** Logs are JSON lines on stdout, for machines; what is said to a person goes to stderr. */
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

/** A second net: nothing logs these on purpose. */
const secrets = new Set([
  'token',
  'pem',
  'password',
  'new_password',
  'current_password',
  'refresh_token',
  'access_token',
  'client_secret',
  'device_token',
  'authorization',
  'idempotency-key',
]);
/** Pino writes nothing that lies deeper. */
const MAX_DEPTH = 5;

/** What is logged without the members of these names. Pino's own redaction costs as much as the rest of a request. */
export function withoutSecrets<T>(value: T, depth = MAX_DEPTH): T {
  if (typeof value !== 'object' || value === null || depth === 0) return value;
  // These are written in a way of their own.
  if (value instanceof Error || 'toJSON' in value) return value;
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, depth - 1)) as T;
  let copy: Record<string, unknown> | null = null;
  for (const [name, member] of Object.entries(value)) {
    const kept = secrets.has(name) ? undefined : withoutSecrets(member, depth - 1);
    // Most lines have nothing to hide, and are not copied.
    if (kept === member) continue;
    copy = { ...(copy ?? value), [name]: kept };
  }
  return (copy ?? value) as T;
}

const options = (level: string): LoggerOptions => ({
  level,
  base: { service: 'keyturn' },
  timestamp: () => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (label) => ({ level: label }), log: withoutSecrets, bindings: withoutSecrets },
  serializers: { err: serializeError },
});

/** Kind and place; of a cause only its kind. Drivers like to quote values in their messages, so theirs never get here. */
export function serializeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code } = error as NodeJS.ErrnoException;
  return { type: error.name, message: error.message, ...(code === undefined ? {} : { code }), stack: error.stack };
}

export const createLogger = (level: string, destination?: DestinationStream): Logger =>
  destination === undefined ? pino(options(level)) : pino(options(level), destination);
