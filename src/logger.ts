/** Logs are JSON lines on stdout, for machines; what is said to a person goes to stderr. */
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

/** A second net: nothing logs these on purpose. */
const redacted = [
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
];

const options = (level: string): LoggerOptions => ({
  level,
  base: { service: 'keyturn' },
  timestamp: () => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (label) => ({ level: label }) },
  redact: { paths: redacted.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]), remove: true },
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
