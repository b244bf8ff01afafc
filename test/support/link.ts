/** A TCP connection that can be broken: what one node has instead of the way to its server. */
import { connect, createServer, type Socket } from 'node:net';
import type { Scope } from './scope.js';

export interface Link {
  port: number;
  /** Ends all connections, and takes no new ones. */
  cut(): void;
  /** Nothing gets through in either direction, and nobody is told. What was sent meanwhile comes late. */
  hold(): void;
  mend(): void;
}

export async function startLink(t: Scope, upstream: number): Promise<Link> {
  const sockets = new Set<Socket>();
  let state: 'up' | 'cut' | 'held' = 'up';

  function track(socket: Socket): Socket {
    sockets.add(socket);
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  }

  function join(from: Socket, to: Socket): void {
    from.on('data', (bytes) => to.write(bytes));
    from.once('close', () => to.destroy());
    if (state === 'held') from.pause();
  }

  const listener = createServer({ noDelay: true }, (client) => {
    if (state === 'cut') return client.destroy();
    const server = track(connect({ port: upstream, host: '127.0.0.1', noDelay: true }));
    join(track(client), server);
    join(server, client);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  t.teardown(() => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port: address.port,
    cut() {
      state = 'cut';
      for (const socket of sockets) socket.destroy();
    },
    hold() {
      state = 'held';
      for (const socket of sockets) socket.pause();
    },
    mend() {
      state = 'up';
      for (const socket of sockets) socket.resume();
    },
  };
}
