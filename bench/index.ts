import { anomalies } from './anomalies.js';
import { authorize } from './authorize.js';
import { checks } from './checks.js';
import { cleanUp } from './clean-up.js';
import type { Measurement } from './measurement.js';

export const measurements: Record<string, Measurement> = { anomalies, authorize, checks, 'clean-up': cleanUp };
