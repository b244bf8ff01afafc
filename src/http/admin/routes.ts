/** /v1/admin: a new noun is a file of routes here, and an entry in the list. */
import type { FastifyRequest } from 'fastify';
import type { By } from '../../domain/types.js';
import type { Administration } from '../services.js';
import type { App } from '../typed.js';
import { anomalyRoutes } from './anomaly-routes.js';
import { auditRoutes } from './audit-routes.js';
import { clientRoutes } from './client-routes.js';
import { keyRoutes } from './key-routes.js';
import { revocationRoutes } from './revocation-routes.js';
import { userRoutes } from './user-routes.js';
import { webhookRoutes } from './webhook-routes.js';

/** Who asks, if he may; else it throws. Each handler begins with it. */
export type WhoAsks = (request: FastifyRequest) => Promise<By>;
export type AdminRoutes = (app: App, administration: Administration, whoAsks: WhoAsks) => void;

const nouns: readonly AdminRoutes[] = [
  userRoutes,
  clientRoutes,
  keyRoutes,
  revocationRoutes,
  auditRoutes,
  anomalyRoutes,
  webhookRoutes,
];

export const adminRoutes: AdminRoutes = (...parts) => {
  for (const routes of nouns) routes(...parts);
};
