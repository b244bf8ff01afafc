/** How much there is to do, and what is refused because it is too much. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { LoadMetrics } from '../../ports/metrics.js';
import { requestSubjects } from '../../ports/request-limiter.js';

export function measureLoad(registry: Registry): LoadMetrics {
  const registers = [registry];
  const requestsShared = new Gauge({
    name: 'keyturn_requests_shared',
    help: 'Whether requests are counted for all nodes, and not in this process alone',
    registers,
  });
  requestsShared.set(1);
  const refusedRequests = new Counter({
    name: 'keyturn_requests_refused_total',
    help: 'Requests that were refused because there had been too many',
    labelNames: ['subject'],
    registers,
  });
  for (const subject of requestSubjects) refusedRequests.inc({ subject }, 0);
  const connections = new Gauge({
    name: 'keyturn_connections',
    help: 'Connections that are open',
    registers,
  });
  const refusedConnections = new Counter({
    name: 'keyturn_connections_refused_total',
    help: 'Connections that were refused because there were too many',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of ['process', 'address']) refusedConnections.inc({ reason }, 0);
  return {
    requestsShared: (shared) => requestsShared.set(shared ? 1 : 0),
    requestRefused: (subject) => refusedRequests.inc({ subject }),
    connections: (open) => connections.set(open),
    connectionRefused: (reason) => refusedConnections.inc({ reason }),
  };
}
