/** The hot path, part by part. Each has a table in docs/performance.md. */
import type { Part } from './bench.js';
import { check } from './parts/check.js';
import { detection } from './parts/detection.js';
import { load } from './parts/load.js';
import { login } from './parts/login.js';
import { mixed } from './parts/mixed.js';
import { nodes } from './parts/nodes.js';
import { parallel } from './parts/parallel.js';
import { pool } from './parts/pool.js';
import { profiles } from './parts/profile.js';
import { refresh } from './parts/refresh.js';
import { scale } from './parts/scale.js';
import { sessions } from './parts/sessions.js';
import { start } from './parts/start.js';
import { storage } from './parts/storage.js';
import { verify } from './parts/verify.js';

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
