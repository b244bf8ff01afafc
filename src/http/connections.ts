/** How many connections there may be, in all and from one network. Whoever comes too many is hung up on, unheard. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { Metrics } from '../ports/metrics.js';
import { type IsProxy, networkOf } from './addresses.js';

export interface ConnectionLimits {
  /** Of the whole process. */
  all: number;
  /** Of one address, IPv6 by /64; 0: as many as there are. */
  perAddress: number;
}

export interface ConnectionParts {
  /** Speaks for many, and is not counted. */
  isProxy: IsProxy;
  metrics: Pick<Metrics, 'connections' | 'connectionRefused'>;
  log: Pick<FastifyBaseLogger, 'warn'>;
}

/** A flood leaves a line in so many milliseconds, not one for each connection. */
const LOG_EVERY_MS = 10_000;
/** With more than this part of all connections in use none is kept after its answer. */
const CROWDED = 0.8;

export function limitConnections(server: Server, limits: ConnectionLimits, { isProxy, metrics, log }: ConnectionParts) {
  const open = new Map<string, number>();
  let count = 0;
  let untold = 0;
  let toldAt = Number.NEGATIVE_INFINITY;

  function refused(reason: 'process' | 'address', address: string | undefined): void {
    metrics.connectionRefused(reason);
    untold++;
    if (performance.now() - toldAt < LOG_EVERY_MS) return;
    log.warn({ refused: untold, reason, ip: address, open: count }, 'too many connections: refused');
    untold = 0;
    toldAt = performance.now();
  }

  function add(network: string, by: number): void {
    const now = (open.get(network) ?? 0) + by;
    if (now === 0) open.delete(network);
    else open.set(network, now);
  }

  // Idle ones, of whom anybody can keep many for long, must not keep out those who have something to ask.
  server.prependListener('request', (_request, response) => {
    if (count > CROWDED * limits.all) response.setHeader('connection', 'close');
  });
  server.maxConnections = limits.all;
  server.on('drop', (connection) => refused('process', connection?.remoteAddress));
  server.on('connection', (socket: Socket) => {
    metrics.connections(++count);
    socket.once('close', () => metrics.connections(--count));
    const address = socket.remoteAddress;
    if (limits.perAddress === 0 || address === undefined || isProxy(address)) return;
    const network = networkOf(address);
    add(network, 1);
    socket.once('close', () => add(network, -1));
    if ((open.get(network) ?? 0) <= limits.perAddress) return;
    // An answer would cost more than it is worth: the next one comes at once.
    socket.destroy();
    refused('address', address);
  });
}
