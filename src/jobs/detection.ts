/** The detection of anomalies in the life of a node: each judges what it has seen itself. */
import type { Logger } from 'pino';
import type { Alarm } from '../domain/alarms.js';
import type { Detection } from '../domain/detection.js';
import { every } from './every.js';

/** Seconds: at this rhythm uses are judged in batches. */
const RUN_S = 0.25;
/** What is left when the service stops is judged within that. Milliseconds. */
const DRAIN_MS = 2_000;
/** A database that is away is told of once in a while. Milliseconds. */
const TOLD_MS = 60_000;

const line = ({ action, userId, sessionId, clientId, score, findings }: Alarm) => ({
  action,
  sub: userId,
  sid: sessionId,
  client_id: clientId,
  score: Math.round(score * 100) / 100,
  findings: findings.map(({ signal, why }) => `${signal}: ${why}`),
});

export function startDetection(
  detection: Detection,
  log: Pick<Logger, 'info' | 'warn'>,
  within: <T>(ms: number, work: Promise<T>) => Promise<T>,
): () => Promise<void> {
  let failures = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  const failed = (error: unknown) => {
    failures++;
    if (performance.now() - toldAt < TOLD_MS) return;
    log.warn({ err: error, failures }, 'uses of sessions could not be judged; nobody waits for that');
    toldAt = performance.now();
    failures = 0;
  };
  detection.onAlarm((alarm) => {
    if (alarm.action === 'observe') log.info(line(alarm), 'a session is used oddly');
    else log.warn(line(alarm), 'a session looks stolen');
  });
  const stop = every(RUN_S, detection.run, failed);
  return async () => {
    stop();
    await within(DRAIN_MS, detection.run()).catch(failed);
  };
}
