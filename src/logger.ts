/** Logs are JSON lines on stdout, for machines; what is said to a person goes to stderr. */
import { type Bindings, type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

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

/** What is logged without the members of these names. By paths, as pino does it, that is a third of a check. */
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
  formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
  serializers: { err: serializeError },
});

/** Kind and place; of a cause only its kind. Drivers like to quote values in their messages, so theirs never get here. */
export function serializeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code } = error as NodeJS.ErrnoException;
  return { type: error.name, message: error.message, ...(code === undefined ? {} : { code }), stack: error.stack };
}

/**
 * stdout, written to once in a turn of the event loop: under load one write serves many lines. A process that ends by itself
 * loses none of them.
 */
function standardOutput(): DestinationStream {
  const output = pino.destination({ dest: 1, sync: true });
  let held = '';
  const flush = () => {
    if (held !== '') output.write(held);
    held = '';
  };
  process.on('exit', flush);
  return {
    write(line) {
      if (held === '') setImmediate(flush);
      held += line;
    },
  };
}

export function createLogger(level: string, destination = standardOutput()): Logger {
  const logger = pino(options(level), destination);
  const { child } = logger;
  // Pino formats the bindings of the first logger alone.
  logger.child = function (this: Logger, bindings: Bindings, ...more: [object?]) {
    return child.call(this, withoutSecrets(bindings), ...more);
  } as typeof child;
  return logger;
}
