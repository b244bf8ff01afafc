/** How much there is to do, and what is refused because it is too much. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { shedReasons } from '../../domain/shedding.js';
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
  const shed = new Counter({
    name: 'keyturn_shed_total',
    help: 'Requests that were shed, by why',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of shedReasons) shed.inc({ reason }, 0);
  const level = new Gauge({ name: 'keyturn_shedding', help: 'How much is shed: 0 to 2', registers });
  const delay = new Gauge({
    name: 'keyturn_event_loop_delay_seconds',
    help: 'By how much the event loop was late on average in the last half second',
    registers,
  });
  return {
    requestsShared: (shared) => requestsShared.set(shared ? 1 : 0),
    requestRefused: (subject) => refusedRequests.inc({ subject }),
    connections: (open) => connections.set(open),
    connectionRefused: (reason) => refusedConnections.inc({ reason }),
    shed: (reason) => shed.inc({ reason }),
    shedding(now, eventLoopDelay) {
      level.set(now);
      delay.set(eventLoopDelay);
    },
  };
}
