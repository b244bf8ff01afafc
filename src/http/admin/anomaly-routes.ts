/** /v1/admin/anomalies: what the detection has done, and what came of it. Each is an event of the audit trail. */

import { policies } from '../../domain/anomalies/policy.js';
import type { AuditRecord } from '../../domain/audit-record.js';
import { Closed, Timestamp } from '../schemas.js';
import { type Static, Type } from '../type.js';
import { auditQuery, filterOf, OrNull, placeCursor, placeOf } from './audit-routes.js';
import type { AdminRoutes } from './routes.js';
import { NextCursor, pageQuery, readSchema } from './schemas.js';

const path = '/v1/admin/anomalies';
const DEFAULT_LIMIT = 50;

const Finding = Closed({
  signal: Type.String({ description: 'Such as `impossible_travel`: docs/anomalies.md' }),
  weight: Type.Number({ description: 'A power of ten: how many times likelier this is of a thief than of the user' }),
  why: Type.String({ description: 'For people' }),
});

const Anomaly = Closed(
  {
    id: Type.String({ description: 'Of the audit event' }),
    at: Timestamp,
    event: Type.String({
      enum: ['session.flagged', 'session.revoked_by_detection', 'session.stepped_up', 'session.step_up_failed'],
    }),
    action: Type.Union([Type.String({ enum: [...policies] }), Type.Null()], {
      description: 'What was done; null for what the person did then',
    }),
    score: Type.Union([Type.Number(), Type.Null()], { description: 'A power of ten, like the weights' }),
    findings: Type.Array(Finding, { description: 'What speaks against it, the heaviest first' }),
    user_id: OrNull('Whose session it is'),
    session_id: OrNull('The session'),
    client_id: OrNull('Of which client'),
    noticed_by: OrNull('Another session of the user, where its use gave this one away'),
    ip: OrNull('From which address it was used'),
    place: OrNull('Where that is'),
    user_agent: Type.Union([Type.String(), Type.Null()]),
  },
  { title: 'Anomaly', description: 'Why a session looks stolen, and what was done about it' },
);
export type Anomaly = Static<typeof Anomaly>;

const AnomalyPage = Closed(
  { anomalies: Type.Array(Anomaly), next_cursor: NextCursor },
  { description: 'The newest first' },
);
export type AnomalyPage = Static<typeof AnomalyPage>;

const { user, session, since, until } = auditQuery;

/** The details are the detection's own: domain/alarms.ts. */
function shown({ details, ...event }: AuditRecord): Anomaly {
  const { id, at, user_id, session_id, client_id, ip, place, user_agent } = event;
  const { action = null, score = null, findings = [], noticed_by = null } = (details ?? {}) as Partial<Anomaly>;
  const about = { user_id, session_id, client_id, noticed_by, ip, place, user_agent };
  return { id, at, event: event.event, action, score, findings, ...about };
}

export const anomalyRoutes: AdminRoutes = (app, administration, whoAsks) => {
  app.get(
    path,
    {
      schema: {
        ...readSchema(path, 'listAnomalies', 'Sessions that looked stolen', { 200: AnomalyPage }),
        querystring: Closed({ user, session, since, until, ...pageQuery }),
      },
    },
    async (request) => {
      await whoAsks(request);
      const { cursor, limit } = request.query;
      const { items, next } = await administration.audit.search(
        { ...filterOf(request.query), isAnomaly: true },
        'newest_first',
        cursor === undefined ? null : placeOf(cursor),
        limit === undefined ? DEFAULT_LIMIT : Number(limit),
      );
      return { anomalies: items.map(shown), next_cursor: next && placeCursor(next) };
    },
  );
};
