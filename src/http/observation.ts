/** Tells the detection of anomalies what was done with a session, and from where. It takes no time and cannot fail. */
import type { FastifyRequest } from 'fastify';
import type { Activity } from '../domain/anomalies/activity.js';
import { shapeOf } from '../domain/anomalies/shape.js';
import type { Detection } from '../domain/detection.js';
import type { SessionId, Subject, UserId } from '../domain/types.js';
import { callerOf, isToldOf, userAgentOf } from './request-log.js';

declare module 'fastify' {
  interface FastifyInstance {
    detection: Pick<Detection, 'observe'>;
  }
}

/**
 * To be called when it has succeeded. Where somebody asks for others, the address is the user's only if a trusted proxy has
 * told of it. Tokens of clients themselves have no user.
 */
export function observe(
  request: FastifyRequest,
  kind: Activity['kind'],
  { sub, sid }: Pick<Subject, 'sub' | 'sid'>,
  knownDevice = false,
): void {
  if (sub === undefined || sid === undefined) return;
  if (request.routeOptions.config.asksForOthers === true && !isToldOf(request)) return;
  request.server.detection.observe({
    kind,
    userId: sub as UserId,
    sessionId: sid as SessionId,
    ip: request.outcome.ip,
    userAgent: userAgentOf(request),
    shape: kind === 'refresh' ? shapeOf(request.headers) : null,
    knownDevice,
    caller: () => callerOf(request),
  });
}
