/** What a stack of the service is told under: the innermost file on it that says what the work is for. */
import { placeOf, type Stack } from './stacks.js';

const HASHES = 'HKDF, SHA-256, HMAC, random';
const HTTP = 'node:http';

const areas: readonly (readonly [RegExp, string])[] = [
  [/^pg|^postgres-/, 'pg, the driver of PostgreSQL'],
  [/^@fastify\/cors|^src\/http\/cors/, 'CORS'],
  [/^src\/http\/(request-limits|addresses)|^src\/adapters\/in-process\/request-limiter/, 'limits of requests'],
  [/^pino|^sonic-boom|^quick-format|^safe-stable|^src\/logger|^src\/http\/request-log/, 'log'],
  [/^prom-client|^src\/adapters\/prometheus|^src\/http\/request-metrics/, 'metrics'],
  [
    /^fast-json-stringify|^ajv|^@fastify\/ajv|^src\/http\/compile-when-used/,
    'schemas: requests checked, answers written',
  ],
  [/^src\/verifier\/strict-json|^src\/http\/bodies/, 'strict JSON'],
  [/^fastify|^find-my-way|^avvio|^@fastify\/|^fast-querystring|^reusify|^process-warning|^toad/, 'Fastify'],
  [
    /^src\/adapters\/node-crypto|^src\/domain\/(access-token|session-tokens)/,
    'access token: claims, and its way to the signer',
  ],
  [/^src\/domain\/refresh-token|^node:internal\/crypto|^node:crypto|^uuid/, HASHES],
  [/^src\/adapters\/postgres/, 'store'],
  [/^src\/adapters\/geo|^maxmind|^mmdb/, 'place of the caller'],
  [/^src\/domain\/anomalies/, 'detection'],
  [/^src\/http\/|^ipaddr/, 'routes, hooks and headers of ours'],
  [/^src\/domain\//, 'domain'],
  [/^src\//, 'the rest of ours'],
  [/^ioredis|^redis/, 'Redis'],
  [/^node:internal\/(async_hooks|process|timers|promise)|^node:timers/, 'promises, timers, async hooks'],
  [/^node:_http|^node:http|^node:internal\/http|^node:url|^node:internal\/url/, HTTP],
];

const GARBAGE = /v8::internal::.*(Scaveng|MarkCompact|MarkingVisitor|Sweep|Heap::(Collect|Perform)|Evacuat)/;
const COMPILATION = /v8::internal::(compiler|baseline|Compiler|OptimizedCompilation)/;

export function areaOf(stack: Stack): string {
  if (stack[0]?.from.includes('[kernel')) return 'kernel: sockets, and threads that are woken';
  if (stack.some(({ symbol }) => GARBAGE.test(symbol))) return 'garbage collection';
  if (stack.some(({ symbol }) => COMPILATION.test(symbol))) return 'compilation';
  for (const frame of stack) {
    const file = placeOf(frame)?.split(' ').at(-1);
    const area = file === undefined ? undefined : areas.find(([pattern]) => pattern.test(file))?.[1];
    if (area !== undefined) return area;
    if (frame.symbol.includes('node::crypto')) return HASHES;
    if (/node::.*Parser::|llhttp/.test(frame.symbol)) return HTTP;
  }
  return 'Node.js and V8, for whomever';
}

/** The innermost function of JavaScript. */
export const functionOf = (stack: Stack): string => {
  for (const frame of stack) {
    const place = placeOf(frame);
    if (place !== null) return place;
  }
  return '(none)';
};
