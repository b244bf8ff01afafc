/** How long requests took, by route: from a closed list of labels, since what is kept for each lives as long as the process. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Metrics } from '../ports/metrics.js';

/** Node knows some thirty more; anybody can send them, and nobody is answered anything but 404 or 405. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function measure(request: FastifyRequest, reply: FastifyReply, metrics: Metrics): void {
  metrics.answered({
    method: methods.has(request.method) ? request.method : 'other',
    route: request.routeOptions.url ?? 'unmatched',
    status: reply.statusCode,
    seconds: reply.elapsedTime / 1000,
  });
}
