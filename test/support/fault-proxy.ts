/**
 * A bad network: a TCP proxy in front of one or more servers that holds requests back, loses them or their answers, and
 * delivers them twice. It parses nothing: without pipelining the two sides of HTTP/1.1 take turns, so a client's first
 * bytes, and those after an answer, begin a request. What goes wrong is drawn from a seed, one draw a request.
 */
import { connect, createServer, type Socket } from 'node:net';
import type { Scope } from './scope.js';
import { type Chance, seeded } from './seeded.js';

/** Probabilities, which add up to 1 at most; times in milliseconds, of which each draw takes some part. */
export interface Faults {
  /** The request is held back for up to `ms`. */
  delay?: { p: number; ms: number };
  /** The server answers, and the client never hears of it. */
  dropResponse?: number;
  /** The connection ends before the request has got to the server. */
  cutBefore?: number;
  /** The connection ends on both sides when the server has the request, within `ms`: it may be in the midst of it. */
  cutAfter?: { p: number; ms: number };
  /** A copy of the request gets to another server, if there is one, up to `ms` later. The copy's answer is thrown away. */
  duplicate?: { p: number; ms: number };
}

export type Fault = keyof Faults;

export interface FaultProxyOptions {
  /** Ports on loopback, asked for anew for each connection; which of them gets it is drawn too. */
  upstreams: () => readonly number[];
  faults: Faults;
  seed: number;
}

export interface FaultProxy {
  url: string;
  port: number;
  /** What has really happened so far; `unreachable`: the server refused the connection, or broke it off. */
  counts: Record<Fault | 'requests' | 'unreachable', number>;
  /** From now on nothing goes wrong, but for servers that are not there. */
  calm(): void;
  /** Ends all connections too. */
  close(): Promise<void>;
}

export async function startFaultProxy(t: Scope, { upstreams, faults, seed }: FaultProxyOptions): Promise<FaultProxy> {
  const chance = seeded(seed);
  const sockets = new Set<Socket>();
  const counts = { requests: 0, unreachable: 0, delay: 0, dropResponse: 0, cutBefore: 0, cutAfter: 0, duplicate: 0 };
  let active = faults;

  function track(socket: Socket): Socket {
    sockets.add(socket);
    // What comes of an error is the other side's business: see `close`.
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  }

  function relay(client: Socket): void {
    const port = chance.pick(upstreams());
    const server = track(connect({ port, host: '127.0.0.1', noDelay: true }));
    let fault: Fault | null = null;
    let asking = false;
    let copy: ReturnType<typeof duplicate> | null = null;
    const cut = () => {
      client.destroy();
      server.destroy();
    };
    const later = (most: number, work: () => void) => setTimeout(work, chance.between(0, most)).unref();

    client.on('data', (bytes) => {
      const isFirst = !asking;
      if (isFirst) {
        asking = true;
        counts.requests++;
        fault = draw(active, chance);
        copy = null;
      }
      switch (fault) {
        case 'cutBefore':
          counts.cutBefore++;
          return cut();
        case 'delay':
          if (isFirst) counts.delay++;
          client.pause();
          later(active.delay?.ms ?? 0, () => {
            server.write(bytes);
            client.resume();
          });
          return;
        case 'cutAfter':
          server.write(bytes, (error) => {
            if (error || !isFirst) return;
            counts.cutAfter++;
            later(active.cutAfter?.ms ?? 0, cut);
          });
          return;
        case 'duplicate':
          server.write(bytes);
          copy ??= duplicate(port, active.duplicate?.ms ?? 0);
          return copy(bytes);
        default:
          server.write(bytes);
      }
    });
    server.on('data', (bytes) => {
      if (fault === 'dropResponse') {
        counts.dropResponse++;
        return cut();
      }
      asking = false;
      client.write(bytes);
    });
    server.once('error', () => {
      if (!client.destroyed) counts.unreachable++;
      cut();
    });
    server.once('end', () => client.end());
    client.once('close', () => server.destroy());
  }

  /** Sends what it is given on to another server than the one at `port`, later, all at once or as it comes. */
  function duplicate(port: number, most: number): (bytes: Buffer) => void {
    const waiting: Buffer[] = [];
    let target: Socket | null = null;
    setTimeout(
      () => {
        if (!listener.listening) return;
        const others = upstreams().filter((other) => other !== port);
        const socket = track(connect({ port: chance.pick(others.length > 0 ? others : [port]), host: '127.0.0.1' }));
        for (const bytes of waiting) socket.write(bytes);
        socket.once('data', () => {
          counts.duplicate++;
          socket.destroy();
        });
        target = socket;
      },
      chance.between(0, most),
    ).unref();
    return (bytes) => {
      if (target === null) waiting.push(bytes);
      else target.write(bytes);
    };
  }

  const listener = createServer({ noDelay: true }, (client) => relay(track(client)));
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const close = async () => {
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  t.teardown(close);
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    counts,
    calm() {
      active = {};
    },
    close,
  };
}

function draw(faults: Faults, chance: Chance): Fault | null {
  let left = chance.next();
  for (const [fault, value] of Object.entries(faults)) {
    left -= typeof value === 'number' ? value : value.p;
    if (left < 0) return fault as Fault;
  }
  return null;
}
