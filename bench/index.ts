import { cleanUp } from './clean-up.js';
import type { Measurement } from './measurement.js';

export const measurements: Record<string, Measurement> = { 'clean-up': cleanUp };
