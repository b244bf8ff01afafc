/** What every server of HTTP here is made on: its limits, the formats of its answers, its log, and how it drains. */
import { randomUUID } from 'node:crypto';
import { METHODS } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { Refusal } from '../domain/errors.js';
import { createProxies } from './addresses.js';
import { limitAnswers } from './answer-timeout.js';
import { hasGoodHost, refuseBody, refuseConnection } from './before-routing.js';
import { compilersFactory } from './compile-when-used.js';
import { registerDraining } from './draining.js';
import { sendRefusal, toRefusal } from './errors.js';
import { limitPipelines } from './pipelines.js';
import { onRequestEnd } from './request-end.js';
import type { RequestLimits } from './request-limits.js';
import { logRequest, newOutcome, registerOutcome } from './request-log.js';
import { measure } from './request-metrics.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

export type BaseServices = Pick<Services, 'issuer' | 'places' | 'metrics'>;

export interface BaseSettings {
  logger: FastifyBaseLogger;
  trustProxy: readonly string[];
  /** Of what is refused before there is a route. */
  limits?: RequestLimits;
  timeouts?: Timeouts;
}

const BODY_LIMIT_BYTES = 16 * 1024;
/** Milliseconds. */
export interface Timeouts {
  /** For the whole request to arrive, its first header as well as the last byte of its body. */
  request: number;
  /** How often Node looks for requests that are late; at its own 30 s a timeout of 10 s takes up to 40. */
  check: number;
  /** For an answer to be made. */
  answer: number;
  /** For a connection on which nothing moves, such as that of somebody who does not read: longer than any answer takes. */
  silence: number;
  /** Longer than the 60 s for which common load balancers keep an idle connection, so that they close it first. */
  keepAlive: number;
}

const TIMEOUTS: Timeouts = { request: 10_000, check: 2_000, answer: 15_000, silence: 20_000, keepAlive: 72_000 };
/** A client_id is as long at most. */
const MAX_PARAM_LENGTH = 128;
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

export function createApp({ issuer, places, metrics }: BaseServices, settings: BaseSettings): App {
  const errorsUrl = `${issuer}/docs/errors`;
  const account = (request: FastifyRequest, reply: FastifyReply, hasHungUp: boolean) => {
    logRequest(request, reply, hasHungUp);
    measure(request, reply, metrics);
  };
  const { limits, timeouts = TIMEOUTS } = settings;
  const isProxy = createProxies(settings.trustProxy);
  const app = Fastify({
    loggerInstance: settings.logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    trustProxy: settings.trustProxy.length > 0 ? isProxy : false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: timeouts.request,
    connectionTimeout: timeouts.silence,
    keepAliveTimeout: timeouts.keepAlive,
    // A request that is in while the server drains is answered like any other; the framework's own 503 has no format.
    return503OnClosing: false,
    // Node would answer a request without Host by itself, in no format at all: refused below.
    // Node swaps the two timeouts if the one for headers, 60 s unless set, is longer than the one for whole requests.
    http: {
      requireHostHeader: false,
      connectionsCheckingInterval: timeouts.check,
      headersTimeout: timeouts.request,
    },
    genReqId: ({ headers }) => {
      const given = headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    schemaController: { compilersFactory },
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: false } },
    frameworkErrors: (error, request, reply) => {
      request.outcome = newOutcome(request);
      request.counted = null;
      reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
      limits?.arrived(request);
      const refusal = refusalOf(() => limits?.admit(request)) ?? toRefusal(error) ?? new Refusal('invalid_request');
      sendRefusal(request, reply, refusal, errorsUrl);
      // No hook runs for these.
      account(request, reply, false);
    },
    clientErrorHandler(error, socket) {
      // A proxy's own connection is that of everybody behind it.
      const isCounted = limits !== undefined && !isProxy(socket.remoteAddress);
      if (isCounted && !limits.admitsBytes(socket.remoteAddress)) socket.destroy();
      else refuseConnection(error.code, socket, errorsUrl, settings.logger);
    },
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as App;

  for (const method of METHODS) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method);
  app.removeAllContentTypeParsers();
  limitPipelines(app);
  registerOutcome(app);
  app.decorateRequest('counted', null);
  onRequestEnd(app, account);
  app.decorate('places', places);
  registerDraining(app);
  limitAnswers(app, timeouts.answer);

  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
    const open = request.url.startsWith('/docs') || request.url.startsWith('/.well-known/');
    if (!open) reply.header('cache-control', 'no-store');
    limits?.arrived(request);
    const refusal = refusedAtOnce(request);
    if (refusal === null) return done();
    limits?.admit(request);
    throw refusal;
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const refusal = toRefusal(error);
    if (refusal === null) request.log.error({ err: error }, 'unexpected failure');
    else if (refusal.cause)
      request.log.warn({ code: refusal.code, err: refusal.cause }, 'refused for a reason of our own');
    return sendRefusal(request, reply, refusal ?? new Refusal('internal_error'), errorsUrl);
  });
  app.setNotFoundHandler((request, reply) => sendRefusal(request, reply, new Refusal('not_found'), errorsUrl));
  // An expectation that is not understood may be ignored (RFC 9110 §10.1.1); Node's own 417 is in no format at all.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  return app;
}

function refusedAtOnce(request: FastifyRequest): Refusal | null {
  if (!hasGoodHost(request)) return new Refusal('invalid_request', { detail: 'headers: one Host is required' });
  // Before the body is looked at: a path that is not there has no opinion on media types.
  return request.is404 ? new Refusal('not_found') : null;
}

function refusalOf(check: () => void): Refusal | null {
  try {
    check();
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** For the routes that are registered from here on. */
export function refuseUnknown(app: App): void {
  app.addHook('onRoute', (route) => {
    // A route that declares no query or no body takes none. At /oauth unknown parameters are ignored wherever
    // they are (RFC 6749 §3.2).
    if (!route.url.startsWith('/docs') && !route.url.startsWith('/oauth/'))
      route.schema = { querystring: Type.Object({}, { additionalProperties: false }), ...route.schema };
    if (route.method === 'DELETE' || (route.method === 'POST' && !route.schema?.body)) route.preValidation = refuseBody;
  });
}
