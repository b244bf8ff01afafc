/** /v1/admin/audit: the audit trail. */

import type { ChainLink } from '../../domain/audit-chain.js';
import type { AuditFilter, AuditPlace } from '../../domain/audit-record.js';
import { fromBase64url, toBase64url } from '../../domain/base64url.js';
import { Refusal } from '../../domain/errors.js';
import { ClientId, Closed, Timestamp, Uuid } from '../schemas.js';
import { type Static, Type } from '../type.js';
import type { AdminRoutes } from './routes.js';
import { NextCursor, pageQuery, readSchema } from './schemas.js';

const search = '/v1/admin/audit';
const verification = '/v1/admin/audit/verification';
const DEFAULT_LIMIT = 50;

export const OrNull = (description: string) => Type.Union([Type.String(), Type.Null()], { description });

const AuditEvent = Closed(
  {
    id: Type.String({ description: 'Ascending, but not quite in the order of time' }),
    at: Timestamp,
    event: Type.String(),
    outcome: Type.String({ enum: ['success', 'failure'] }),
    actor: Type.String({
      description: 'Who did it: `user:<id>`, `client:<client_id>`, `cli:<name>`, `service` or `anonymous`',
    }),
    user_id: OrNull('Whom it concerns'),
    session_id: OrNull('Which session it concerns'),
    client_id: OrNull('Which client it concerns'),
    jti: OrNull('Which access token it concerns'),
    by_session_id: OrNull('With which session it was done'),
    by_jti: OrNull('With which access token it was done'),
    ip: OrNull('From which address'),
    place: OrNull('Where that is'),
    user_agent: Type.Union([Type.String(), Type.Null()]),
    request_id: Type.Union([Type.String(), Type.Null()]),
    details: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()]),
  },
  { title: 'AuditEvent', description: 'What happened' },
);

const AuditPage = Closed(
  { events: Type.Array(AuditEvent), next_cursor: NextCursor },
  { description: 'Some of them; a page may be short, or empty, and there be more' },
);
export type AuditPage = Static<typeof AuditPage>;

const text = (description: string, maxLength = 128) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, pattern: '^[^\\p{Cc}]*$', description }));

const filter = {
  user: Type.Optional({ ...Uuid, description: 'The id of a user whom it concerns' }),
  session: Type.Optional({ ...Uuid, description: 'The id of a session that it concerns, or with which it was done' }),
  jti: text('Of an access token that it concerns, or with which it was done'),
  client: Type.Optional({ ...ClientId, description: 'The client that it concerns' }),
  event: Type.Optional(
    Type.String({
      maxLength: 64,
      pattern: '^[a-z_]+\\.([a-z_]+|\\*)$',
      description: 'A name, or a group of them: `login.failed`, `login.*`',
    }),
  ),
  outcome: Type.Optional(Type.String({ enum: ['success', 'failure'] })),
  actor: text('Who did it, such as `user:<id>`', 200),
  ip: text('The address, as it is shown', 45),
  request: text('The id of the request', 64),
  since: Type.Optional({ ...Timestamp, description: 'From this instant on' }),
  until: Type.Optional({ ...Timestamp, description: 'Before this instant' }),
};

/** What the list of anomalies asks for in the same way. */
export const auditQuery = {
  ...filter,
  order: Type.Optional(Type.String({ enum: ['newest_first', 'oldest_first'], description: 'Default: `newest_first`' })),
  limit: Type.Optional(
    Type.String({
      pattern: '^([1-9][0-9]{0,2}|1000)$',
      description: `Events on a page, 1 to 1000; default: ${DEFAULT_LIMIT}`,
    }),
  ),
  cursor: pageQuery.cursor,
};
const Query = Closed(auditQuery);

/** An instant as the query has it, which is a good date-time, but need not be one that a Date can hold. */
function instantOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const at = Date.parse(value);
  if (Number.isNaN(at)) throw new Refusal('invalid_request', { detail: `query ${name}: not an instant` });
  return at;
}

export function filterOf(query: Static<typeof Query>): AuditFilter {
  const { user, session, jti, client, event, outcome, actor, ip, request } = query;
  const members = {
    userId: user,
    sessionId: session,
    jti,
    clientId: client,
    event,
    outcome,
    actor,
    ip,
    requestId: request,
    since: instantOf('since', query.since),
    until: instantOf('until', query.until),
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

const asCursor = (text: string): string => toBase64url(Buffer.from(text));

function partsOf(cursor: string, pattern: RegExp): string[] {
  const match = pattern.exec(Buffer.from(fromBase64url(cursor) ?? []).toString('latin1'));
  if (match === null) throw new Refusal('invalid_request', { detail: 'query cursor: not one of this list' });
  return match.slice(1);
}

/** Within what a bigint, and a Date, can hold. */
const PLACE = /^(\d{1,15}) (\d{1,18})$/;
export const placeCursor = ({ at, id }: AuditPlace): string => asCursor(`${at} ${id}`);

export function placeOf(cursor: string): AuditPlace {
  const [at = '', id = ''] = partsOf(cursor, PLACE);
  return { at: Number(at), id };
}

const LINK = /^(\d{1,9}) (\d{1,18}) ([0-9a-f]{64})$/;
const linkCursor = ({ sequence, lastId, hash }: ChainLink): string => asCursor(`${sequence} ${lastId} ${hash}`);

function linkOf(cursor: string): ChainLink {
  const [sequence = '', lastId = '', hash = ''] = partsOf(cursor, LINK);
  return { sequence: Number(sequence), lastId, hash };
}

const Hash = Type.String({ description: 'SHA-256, hex' });
const Seal = Closed({
  seal: Type.Integer({ description: '1, 2, 3 …' }),
  form: Type.Integer({ description: 'Of the canonical form that is hashed' }),
  first_id: Type.String(),
  last_id: Type.String(),
  count: Type.Integer({ description: 'Events' }),
  previous: Hash,
  hash: Hash,
  sealed_at: Timestamp,
});

const Verification = Closed(
  {
    beginning: Type.Union([Closed({ seal: Type.Integer(), hash: Hash, last_id: Type.String() }), Type.Null()], {
      description: 'In the first step: the last seal that was removed, with all before it; null where nothing was',
    }),
    seals: Type.Array(Seal, { description: 'Those that were found whole, with their events' }),
    problem: Type.Union(
      [
        Closed({
          problem: Type.String({
            enum: [
              ...['seal_missing', 'seal_changed', 'form_unknown', 'not_removed'],
              ...['event_changed', 'event_missing', 'event_inserted'],
            ],
          }),
          seal: Type.Integer(),
          event: Type.Optional(OrNull('The event; of `event_missing`, the one that is there in its place')),
        }),
        Type.Null(),
      ],
      { description: 'The first thing amiss; nothing was verified after it' },
    ),
    unsealed: Type.Union([Type.Integer(), Type.Null()], {
      description: 'In the last step: events that are not sealed yet, counted up to 100,000',
    }),
    next_cursor: NextCursor,
  },
  { title: 'AuditVerification', description: 'Some of the chain' },
);
export type Verification = Static<typeof Verification>;

export const auditRoutes: AdminRoutes = (app, administration, whoAsks) => {
  app.get(
    search,
    { schema: { ...readSchema(search, 'searchAudit', 'The audit trail', { 200: AuditPage }), querystring: Query } },
    async (request) => {
      await whoAsks(request);
      const { cursor, limit, order } = request.query;
      const { items, next } = await administration.audit.search(
        filterOf(request.query),
        order === 'oldest_first' ? order : 'newest_first',
        cursor === undefined ? null : placeOf(cursor),
        limit === undefined ? DEFAULT_LIMIT : Number(limit),
      );
      return { events: items, next_cursor: next && placeCursor(next) };
    },
  );

  app.get(
    verification,
    {
      schema: {
        ...readSchema(verification, 'verifyAudit', 'Verify some of the audit trail', { 200: Verification }),
        description: 'Without a cursor from where it begins. Go on until `next_cursor` is null.',
        querystring: Closed({ cursor: pageQuery.cursor }),
      },
    },
    async (request) => {
      await whoAsks(request);
      const { cursor } = request.query;
      const step = await administration.audit.verify(cursor === undefined ? null : linkOf(cursor));
      const { beginning, seals, problem, unsealed, next } = step;
      return {
        beginning: beginning && { seal: beginning.sequence, hash: beginning.hash, last_id: beginning.lastId },
        seals: seals.map((seal) => ({
          seal: seal.sequence,
          form: seal.form,
          first_id: seal.firstId,
          last_id: seal.lastId,
          count: seal.count,
          previous: seal.previousHash,
          hash: seal.hash,
          sealed_at: seal.sealedAt,
        })),
        problem,
        unsealed,
        next_cursor: next && linkCursor(next),
      };
    },
  );
};
