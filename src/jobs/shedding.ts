/** Looks every half second how much there is to do; the log has a line when shedding begins, changes and ends. */
import type { Level, Shedding } from '../domain/shedding.js';

const LOOK_MS = 500;

interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export function startShedding(shedding: Pick<Shedding, 'look'>, log: Log): () => void {
  let before: Level = 0;
  const timer = setInterval(() => {
    const { level, strain, eventLoopDelay, waiting, shed } = shedding.look();
    if (level === before) return;
    before = level;
    if (level === 0) log.info({ shed }, 'load is shed no longer');
    else
      log.warn({ shedding: level, strain, event_loop_delay_ms: Math.round(eventLoopDelay), waiting }, 'load is shed');
  }, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
