/**
 * Requests that are sent before the answers of those before them. No browser and no proxy does it, but a few kilobytes with
 * a thousand of them would be one turn of the event loop, in which nobody else is served.
 */
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** Requests of one connection that wait behind another at one time. */
const MAX_BEHIND = 50;

/** To be called before other hooks are registered: what comes after too many is not begun. */
export function limitPipelines(app: FastifyInstance): void {
  const behind = new WeakMap<Socket, number>();
  app.addHook('onRequest', ({ raw: { socket }, log }, reply, done) => {
    // The answer gets the connection when those before it are sent.
    if (reply.raw.socket !== null) return done();
    const count = (behind.get(socket) ?? 0) + 1;
    if (count <= MAX_BEHIND && !socket.destroyed) {
      behind.set(socket, count);
      reply.raw.once('close', () => behind.set(socket, (behind.get(socket) ?? 0) - 1));
      return done();
    }
    reply.hijack();
    if (socket.destroyed) return;
    log.info({ ip: socket.remoteAddress }, 'too many requests at once on one connection: hung up');
    socket.destroy();
  });
}
