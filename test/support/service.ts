/** The service in the test's own process: real stores, real HTTP stack, a clock that can be moved, cheap hashes. */
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { createInProcessAnnouncements } from '../../src/adapters/in-process/announcements.js';
import { createInProcessLimiter } from '../../src/adapters/in-process/attempt-limiter.js';
import { createInProcessRequestLimiter } from '../../src/adapters/in-process/request-limiter.js';
import { createInProcessProjection } from '../../src/adapters/in-process/revocation-projection.js';
import { nodeTokenSigner } from '../../src/adapters/node-crypto/token-signer.js';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createMetrics, type PrometheusMetrics } from '../../src/adapters/prometheus/metrics.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { compose, httpSettings } from '../../src/compose.js';
import { type Config, readConfig } from '../../src/config.js';
import { buildApp } from '../../src/http/app.js';
import type { Timeouts } from '../../src/http/base-app.js';
import type { Services } from '../../src/http/services.js';
import type { App } from '../../src/http/typed.js';
import { createLogger } from '../../src/logger.js';
import type { LimiterOf } from '../../src/ports/attempt-limiter.js';
import { type BreachedPasswords, noneBreached } from '../../src/ports/breached-passwords.js';
import type { Clock } from '../../src/ports/clock.js';
import type { EventLoop } from '../../src/ports/event-loop.js';
import type { Kek, KekSource } from '../../src/ports/kek-source.js';
import type { Places } from '../../src/ports/places.js';
import { nowhere } from '../../src/ports/places.js';
import type { RequestLimiterOf } from '../../src/ports/request-limiter.js';
import type { RevocationProjection } from '../../src/ports/revocation-projection.js';
import type { TokenSigner } from '../../src/ports/token-signer.js';
import type { WebhookSender } from '../../src/ports/webhook-sender.js';
import { type FakeClock, fakeClock } from './clock.js';
import { fastDatabase } from './databases.js';
import { keepLog, noteSecret, noteSecretsOf } from './run-log.js';

/** As cheap as argon2 allows, and no limits: tests that are about either set their own. */
export const testEnvironment = {
  ARGON2_MEMORY_KIB: '8',
  ARGON2_TIME_COST: '1',
  ARGON2_CONCURRENCY: '4',
  ARGON2_QUEUE: '1000',
  ARGON2_WAIT: '3600000',
  LIMIT_EVENT_LOOP_DELAY: '0',
  LIMIT_FAILURES: '0',
  LIMIT_ACCOUNT_FAILURES: '0',
  LIMIT_REQUESTS: '0',
  LIMIT_CLIENT_REQUESTS: '0',
  LIMIT_SESSION_REQUESTS: '0',
  LIMIT_CHECKS: '0',
  LIMIT_CONNECTIONS_PER_ADDRESS: '0',
};

export const ISSUER = 'http://127.0.0.1:3000';
export const PASSWORD = 'a long walk by the sea';

export function testKeks(): KekSource {
  const kek: Kek = { id: 'test', key: systemRandom.bytes(32) };
  return { newest: () => kek, find: (id) => (id === kek.id ? kek : null) };
}

export interface ServiceOptions {
  env?: Record<string, string>;
  database?: Database;
  clock?: Clock;
  keks?: KekSource;
  signer?: TokenSigner;
  places?: Places;
  breachedPasswords?: BreachedPasswords;
  projection?: RevocationProjection;
  limiterOf?: LimiterOf;
  requestLimiterOf?: RequestLimiterOf;
  metrics?: PrometheusMetrics;
  webhookSender?: WebhookSender;
  timeouts?: Timeouts;
  eventLoop?: EventLoop;
}

export interface LogLine extends Record<string, unknown> {
  msg: string;
}

export interface Tokens {
  access_token: string;
  token_type: string;
  expires_in: number;
  refresh_token: string;
  refresh_token_expires_in: number;
  session_id: string;
  scope: string;
}

export interface TestService {
  app: App;
  services: Services;
  config: Config;
  database: Database;
  /** Only where the test did not bring its own clock. */
  clock: FakeClock;
  logs: LogLine[];
  metrics: PrometheusMetrics;
  /** `app.inject`, keeping note of every secret that passes. */
  call(options: InjectOptions): Promise<LightMyRequestResponse>;
  post(url: string, body?: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
  get(url: string, bearer?: string): Promise<LightMyRequestResponse>;
  register(email?: string, password?: string): Promise<string>;
  login(email?: string, more?: Record<string, unknown>): Promise<Tokens>;
  refresh(refreshToken: string, key?: string): Promise<LightMyRequestResponse>;
}

export async function startService(t: Test, options: ServiceOptions = {}): Promise<TestService> {
  const config = readConfig({ ISSUER, ...testEnvironment, ...options.env });
  const database = options.database ?? (await fastDatabase(t));
  const clock = fakeClock();
  const logs: LogLine[] = [];
  const logger = createLogger('debug', {
    write(line: string) {
      keepLog(line);
      logs.push(JSON.parse(line));
    },
  });
  const metrics = options.metrics ?? createMetrics();
  const services = compose(config, {
    database,
    // One clock for all, which the test can move.
    health: { now: async () => (options.clock ?? clock).now() },
    announcements: createInProcessAnnouncements(),
    projection: options.projection ?? createInProcessProjection(options.clock ?? clock),
    limiterOf: options.limiterOf ?? ((_kind, settings) => createInProcessLimiter(settings, options.clock ?? clock)),
    requestLimiterOf:
      options.requestLimiterOf ?? ((_kind, limit) => createInProcessRequestLimiter(limit, options.clock ?? clock)),
    keks: options.keks ?? testKeks(),
    signer: options.signer ?? nodeTokenSigner,
    places: options.places ?? nowhere,
    breachedPasswords: options.breachedPasswords ?? noneBreached,
    metrics,
    clock: options.clock ?? clock,
    eventLoop: options.eventLoop ?? { delay: () => 0 },
    random: systemRandom,
    ...(options.webhookSender && { webhookSender: options.webhookSender }),
  });
  await services.clients.seed();
  await services.keys.load();
  await services.directory.load();
  await services.revocations.follow();
  const { timeouts } = options;
  const app = await buildApp(services, { ...httpSettings(config, logger), ...(timeouts && { timeouts }) });
  t.teardown(() => app.close());

  const call = async (request: InjectOptions) => {
    noteSecretsOf(request.payload ?? request.body);
    const { authorization, 'idempotency-key': key } = (request.headers ?? {}) as Record<string, unknown>;
    noteSecret(key, String(authorization ?? '').replace(/^\S+ +/, ''));
    // What the poll does in a running service: however far the clock was moved, the view of the keys is fresh.
    await services.keys.load();
    await services.directory.load();
    await services.revocations.follow();
    const response = await app.inject(request);
    noteSecretsOf(response.body);
    noteSecret(response.headers[config.ACCESS_TOKEN_HEADER]);
    return response;
  };
  const post = (url: string, body?: unknown, headers: Record<string, string> = {}) =>
    call({
      method: 'POST',
      url,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    });
  return {
    app,
    services,
    config,
    database,
    clock,
    logs,
    metrics,
    call,
    post,
    get: (url, bearer) =>
      call({ method: 'GET', url, ...(bearer === undefined ? {} : { headers: { authorization: `Bearer ${bearer}` } }) }),
    async register(email = 'ada@example.com', password = PASSWORD) {
      const response = await post('/v1/users', { email, password });
      if (response.statusCode !== 201) throw new Error(`cannot register: ${response.body}`);
      return response.json().id;
    },
    async login(email = 'ada@example.com', more = {}) {
      const response = await post('/v1/login', { email, password: PASSWORD, ...more });
      if (response.statusCode !== 200) throw new Error(`cannot log in: ${response.body}`);
      return response.json();
    },
    refresh: (refreshToken, key) =>
      post('/v1/refresh', { refresh_token: refreshToken }, key === undefined ? {} : { 'idempotency-key': key }),
  };
}

/** The code of a problem document. */
export const codeOf = (response: LightMyRequestResponse): string => response.json().code;

/** Columns of one row, for assertions about effects. */
export async function rowOf(database: Database, table: string, where = 'true'): Promise<Record<string, unknown>> {
  const rows = await rowsOf(database, table, where);
  if (rows[0] === undefined) throw new Error(`no row in ${table}`);
  return rows[0];
}

let statements = 0;
export const rowsOf = (database: Database, table: string, where = 'true'): Promise<Record<string, unknown>[]> =>
  database.query({ name: `test_${statements++}`, text: `SELECT * FROM ${table} WHERE ${where}` }, []);

export const execute = async (database: Database, text: string): Promise<void> => {
  await database.query({ name: `test_${statements++}`, text }, []);
};
