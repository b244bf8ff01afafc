/** /v1/revocations: the feed for services that check tokens by themselves, as pages and as server-sent events. */
import { Socket } from 'node:net';
import { Refusal } from '../domain/errors.js';
import { type Revocation, revocationKinds } from '../domain/revocation.js';
import { cursorOf, FEED_SCOPE, type Follower, MAX_PAGE } from '../domain/revocation-feed.js';
import { authorize } from './bearer.js';
import { createEventStream, type EventStream, event } from './event-stream.js';
import { bearerRouteCodes, bearerSecurity, Closed, refusals, Timestamp } from './schemas.js';
import type { Services } from './services.js';
import { type TSchema, Type } from './type.js';
import type { App } from './typed.js';

const Cursor = Type.String({ description: 'Opaque: for the next request' });
/** Any text: what is no cursor is told by its own code. */
const After = Type.Optional(
  Type.String({ description: 'The `cursor` of the page before. Default: from the beginning' }),
);

const FedRevocation = Closed(
  {
    id: Type.String({ description: 'Ascending' }),
    kind: Type.String({ enum: [...revocationKinds] }),
    value: Type.Union([Type.String(), Type.Null()], {
      description: 'A `jti`, `sid`, `sub` or `client_id`; null for `all`',
    }),
    not_before: Type.Union([Timestamp, Type.Null()], {
      description:
        'Tokens whose `iat` is before it are refused, a whole second; null for `jti` and `sid`: however old they are',
    }),
    revoked_at: Timestamp,
    expires_at: Type.String({ format: 'date-time', description: 'From then on it concerns no token that is good' }),
  },
  { title: 'Revocation' },
);

const shown = ({ id, kind, value, notBefore, revokedAt, expiresAt }: Revocation) => ({
  id: String(id),
  kind,
  value: kind === 'all' ? null : value,
  not_before: notBefore && new Date(notBefore).toISOString(),
  revoked_at: new Date(revokedAt).toISOString(),
  expires_at: new Date(expiresAt).toISOString(),
});

/** The same batch goes to every follower, and is written once. */
const written = new WeakMap<readonly Revocation[], string>();
function textOf(batch: readonly Revocation[]): string {
  const known = written.get(batch);
  if (known !== undefined) return known;
  const text = batch.map((one) => event('revocation', cursorOf(one.id), shown(one))).join('');
  written.set(batch, text);
  return text;
}

const followerOf = (stream: EventStream): Follower => ({
  revoked: (batch) => stream.send(textOf(batch)),
  current(id, asOf) {
    const cursor = cursorOf(id);
    stream.send(event('current', cursor, { cursor, as_of: new Date(asOf).toISOString() }));
  },
  drained: stream.drained,
  end: (stalled) => (stalled ? stream.cut() : stream.end()),
});

const codes = ['insufficient_scope', 'invalid_cursor', ...bearerRouteCodes] as const;

export function revocationRoutes(app: App, services: Services): void {
  const { sessions } = services;

  app.get(
    '/v1/revocations',
    {
      schema: {
        tags: ['revocations'],
        operationId: 'listRevocations',
        summary: 'What is revoked, a page at a time',
        description: `For tokens with the scope \`${FEED_SCOPE}\`. Without \`after\`: all that concerns tokens that could still be good.`,
        security: bearerSecurity,
        querystring: Closed({
          after: After,
          limit: Type.Optional(
            Type.String({
              pattern: '^([1-9][0-9]{0,2}|1000)$',
              description: `Entries on a page, 1 to ${MAX_PAGE}, which is the default`,
            }),
          ),
        }),
        response: {
          200: Closed(
            {
              revocations: Type.Array(FedRevocation, { description: 'In the order in which they were made' }),
              cursor: Cursor,
              as_of: Type.String({
                format: 'date-time',
                description: 'Nothing that was acknowledged until then is missing, up to the last page',
              }),
              has_more: Type.Boolean({ description: 'Whether there is another page already' }),
            },
            { title: 'Revocations', description: 'A page' },
          ),
          ...refusals('/v1/revocations', ...codes),
        },
      },
    },
    async (request) => {
      await authorize(request, sessions, FEED_SCOPE);
      const { after, limit = String(MAX_PAGE) } = request.query;
      const page = await services.feed.page(services.feed.positionOf(after), Number(limit));
      return {
        revocations: page.revocations.map(shown),
        cursor: cursorOf(page.cursor),
        as_of: new Date(page.asOf).toISOString(),
        has_more: page.hasMore,
      };
    },
  );

  const open = new Set<EventStream>();
  let isDraining = false;
  // Nobody waits for the end of what has none.
  app.addHook('preClose', async () => {
    isDraining = true;
    for (const stream of open) stream.end();
  });

  const path = '/v1/revocations/stream';
  app.get(
    path,
    {
      config: { endless: true },
      schema: {
        tags: ['revocations'],
        operationId: 'followRevocations',
        summary: 'What is revoked, as it happens (server-sent events)',
        description: `For tokens with the scope \`${FEED_SCOPE}\`. Each \`revocation\` has one of them as its data. \`current\`, with \`{"cursor", "as_of"}\`, says that nothing before \`as_of\` is missing: as soon as that is so, and then every 2 s. Where it stays away, what the reader knows is getting old. The stream ends with its token.`,
        security: bearerSecurity,
        headers: Type.Object({
          'Last-Event-ID': Type.Optional(
            Type.String({ description: 'The id of the last event that was read; goes before `after`' }),
          ),
        }),
        querystring: Closed({ after: After }),
        response: {
          200: {
            description: 'Events without an end',
            content: { 'text/event-stream': { schema: Type.String() } },
          } as unknown as TSchema,
          ...refusals(path, 'too_many_streams', ...codes),
        },
      },
    },
    async (request, reply) => {
      const { token } = await authorize(request, sessions, FEED_SCOPE);
      const lastRead = request.headers['last-event-id'];
      const after = services.feed.positionOf(lastRead === undefined ? request.query.after : String(lastRead));
      if (isDraining) throw new Refusal('overloaded');
      // There may be nothing to tell for long; whoever does not read what there is, is found by the feed.
      if (request.raw.socket instanceof Socket) request.raw.socket.setTimeout(0);
      const stream = createEventStream(reply.raw);
      const leave = services.feed.follow(after, token, followerOf(stream));
      open.add(stream);
      reply.raw.once('close', () => {
        open.delete(stream);
        leave();
      });
      // For nginx, which would keep events back. The connection has no other use afterwards.
      reply.headers({ 'x-accel-buffering': 'no', connection: 'close' });
      return reply.type('text/event-stream').send(stream.readable);
    },
  );
}
