/** What keeps others out, wired: limits, blocks and the detection of anomalies. */
import { createDetectionStore } from './adapters/postgres/detection-store.js';
import { createSessionStore } from './adapters/postgres/session-store.js';
import { deviceOf } from './adapters/user-agents/device.js';
import type { Config } from './config.js';
import { createAlarms } from './domain/alarms.js';
import { createBlocks } from './domain/blocks.js';
import { createDetection, type Detection, noDetection } from './domain/detection.js';
import { createGuard } from './domain/limits.js';
import type { Revocations } from './domain/revocations.js';
import { createUses } from './domain/uses.js';
import type { Foundation } from './foundation.js';
import type { RequestLimiters } from './http/request-limits.js';
import type { AuditLog } from './ports/audit-log.js';
import type { RequestSubject } from './ports/request-limiter.js';

/** Seconds. Failures of an address are counted by the minute, those at an account by the quarter of an hour. */
const FAILURE_WINDOW_S = 60;
const ACCOUNT_WINDOW_S = 900;
/** Seconds. An account is slowed down by this at first, and by twice as much each time, up to the other. */
const FIRST_DELAY_S = 1;
const LONGEST_DELAY_S = 900;

export function composeGuard(config: Config, { limiterOf, metrics, clock }: Foundation, audit: AuditLog) {
  const { LIMIT_FAILURES: failures, LIMIT_ACCOUNT_FAILURES: accountFailures } = config;
  const slowing = { window: ACCOUNT_WINDOW_S, block: FIRST_DELAY_S, longestBlock: LONGEST_DELAY_S };
  const blocks = createBlocks({ audit, metrics, clock });
  const guard = createGuard({
    limiters: {
      address: limiterOf('address', { failures, window: FAILURE_WINDOW_S, block: config.LIMIT_BLOCK }),
      account: limiterOf('account', { ...slowing, failures: accountFailures }),
      // A device is not let off altogether where accounts are not counted.
      device: limiterOf('device', { ...slowing, failures: accountFailures || failures }),
    },
    width: failures || Number.POSITIVE_INFINITY,
    blocks,
    clock,
  });
  return { guard, blocks };
}

export function composeDetection(
  config: Config,
  { database, places, metrics, clock }: Foundation,
  revocations: Revocations,
): Detection {
  if (!config.ANOMALY_DETECTION) return noDetection;
  const store = createDetectionStore(database);
  const sessions = createSessionStore(database);
  return createDetection({
    uses: createUses({ places, deviceOf, metrics, clock }),
    store,
    alarms: createAlarms({ store, sessions, revocations, metrics, clock }),
    metrics,
    clock,
  });
}

export function composeRequestLimiters(config: Config, { requestLimiterOf }: Foundation): RequestLimiters {
  const limiter = (kind: RequestSubject, limit: number) => (limit === 0 ? null : requestLimiterOf(kind, limit));
  return {
    address: limiter('address', config.LIMIT_REQUESTS),
    client: limiter('client', config.LIMIT_CLIENT_REQUESTS),
    session: limiter('session', config.LIMIT_SESSION_REQUESTS),
    check: limiter('check', config.LIMIT_CHECKS),
  };
}
