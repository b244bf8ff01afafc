/** The hot path, part by part. Each has a table in docs/performance.md. */
import type { Part } from './bench.js';
import { check } from './part-check.js';
import { detection } from './part-detection.js';
import { load } from './part-load.js';
import { login } from './part-login.js';
import { mixed } from './part-mixed.js';
import { nodes } from './part-nodes.js';
import { parallel } from './part-parallel.js';
import { pool } from './part-pool.js';
import { profiles } from './part-profile.js';
import { refresh } from './part-refresh.js';
import { scale } from './part-scale.js';
import { sessions } from './part-sessions.js';
import { start } from './part-start.js';
import { storage } from './part-storage.js';
import { verify } from './part-verify.js';

export const parts: Record<string, Part> = {
  refresh,
  parallel,
  login,
  mixed,
  detection,
  check,
  verify,
  load,
  nodes,
  pool,
  sessions,
  storage,
  start,
  profile: profiles,
  scale,
};

export { isPlaced } from './processor.js';
export { markdown } from './tables.js';
