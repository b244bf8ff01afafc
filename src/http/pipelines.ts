/**
 * Requests that are sent before the answers of those before them. No browser and no proxy does it, but a few kilobytes with
 * a thousand of them would be one turn of the event loop, in which nobody else is served.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** Requests of one connection that wait behind another at one time. */
const MAX_BEHIND = 50;

/** To be called before other hooks are registered: what comes after too many is not begun. */
export function limitPipelines(app: FastifyInstance): void {
  const behind = new WeakMap<Socket, Set<ServerResponse>>();

  function behindOthersOf(socket: Socket): Set<ServerResponse> {
    const known = behind.get(socket);
    if (known !== undefined) return known;
    const waiting = new Set<ServerResponse>();
    behind.set(socket, waiting);
    // Node tells the answer that has the connection alone: what the others hold, such as timers, would outlive it.
    socket.once('close', () => {
      for (const response of waiting) if (response.socket === null) response.emit('close');
    });
    return waiting;
  }

  app.addHook('onRequest', ({ raw: { socket }, log }, reply, done) => {
    const { raw: response } = reply;
    // The answer gets the connection when those before it are sent.
    if (response.socket !== null) return done();
    const waiting = behindOthersOf(socket);
    if (waiting.size < MAX_BEHIND && !socket.destroyed) {
      waiting.add(response);
      response.once('close', () => waiting.delete(response));
      return done();
    }
    reply.hijack();
    if (socket.destroyed) return;
    log.info({ ip: socket.remoteAddress }, 'too many requests at once on one connection: hung up');
    socket.destroy();
  });
}
