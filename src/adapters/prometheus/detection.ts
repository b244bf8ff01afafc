/** How sessions are judged, and what is done about those that look stolen. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { policies } from '../../domain/anomalies/policy.js';
import type { DetectionMetrics } from '../../ports/metrics.js';

/** Seconds. Within the rhythm of a quarter of a second, and behind. */
const DETECTED_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

export function measureDetection(registry: Registry): DetectionMetrics {
  const registers = [registry];
  const anomalies = new Counter({
    name: 'keyturn_anomalies_total',
    help: 'Sessions that look stolen, by what was done about them',
    labelNames: ['action'],
    registers,
  });
  for (const action of policies) anomalies.inc({ action }, 0);
  const detectionQueue = new Gauge({
    name: 'keyturn_detection_queue',
    help: 'Uses of sessions that wait to be judged',
    registers,
  });
  const detectionDropped = new Counter({
    name: 'keyturn_detection_dropped_total',
    help: 'Uses of sessions that were not judged',
    registers,
  });
  const detections = new Histogram({
    name: 'keyturn_detection_seconds',
    help: 'Time from the use of a session until it was judged and acted upon',
    buckets: DETECTED_S,
    registers,
  });
  return {
    anomaly: (action) => anomalies.inc({ action }),
    detectionQueue: (uses) => detectionQueue.set(uses),
    detectionDropped: (uses) => detectionDropped.inc(uses),
    detected: (seconds) => detections.observe(seconds),
  };
}
