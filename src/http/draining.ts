/** How connections end when the server does: none is cut off in a request, and none is waited for that has none. */
import type { Socket } from 'node:net';
import type { App } from './typed.js';

export function registerDraining(app: App): void {
  const silent = new Set<Socket>();
  let draining = false;

  // Node closes the connections whose last request was answered, but takes those that never sent one for busy.
  app.server.on('connection', (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
  });
  app.server.on('request', ({ socket }) => silent.delete(socket));
  app.addHook('preClose', async () => {
    draining = true;
    for (const socket of silent) if (socket.bytesRead === 0) socket.destroy();
  });
  // A connection that is kept would be waited for until its idle time is over.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (draining) reply.header('connection', 'close');
    done(null, payload);
  });
}
