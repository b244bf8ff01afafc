/** /v1/admin/webhooks: where security events are sent to. */

import type { EndpointChanges } from '../../domain/webhook-administration.js';
import type { Delivery, DeliveryState, WebhookEndpoint } from '../../domain/webhooks.js';
import { Closed, shownText, Timestamp, Uuid } from '../schemas.js';
import { type Static, Type } from '../type.js';
import type { AdminRoutes } from './routes.js';
import { changeSchema, listOf, NextCursor, nextCursor, pageOf, pageQuery, readSchema } from './schemas.js';

const TimestampOrNull = (description: string) => Type.Union([Timestamp, Type.Null()], { description });

const Url = Type.String({
  minLength: 1,
  maxLength: 2048,
  pattern: '^[\\x21-\\x7e]*$',
  description: '`https:`, without credentials or a fragment. Outside production `http:` on loopback is good, too',
});
const Events = listOf(
  Type.String({ maxLength: 64, pattern: '^(\\*|[a-z_]+\\.(\\*|[a-z_]+))$' }),
  'Names of events, groups of them, or all: `login.failed`, `login.*`, `*`',
  { minItems: 1 },
);
const Description = Type.Union([shownText(200, 'For people'), Type.Null()]);

const AdminWebhook = Closed(
  {
    id: Uuid,
    url: Type.String(),
    events: Type.Array(Type.String()),
    description: Type.Union([Type.String(), Type.Null()]),
    created_at: Timestamp,
    disabled_at: TimestampOrNull('Since when nothing is sent to it'),
    disabled_reason: Type.Union([Type.String(), Type.Null()], {
      description: '`administrator`; `gone`: it answered 410; `failing`: it took nothing for days',
    }),
    failing_since: TimestampOrNull('Since when it has taken nothing'),
    previous_secret_until: TimestampOrNull('Until when the secret before signs too'),
    kek: Type.String({ description: 'The KEK that seals the secret' }),
  },
  { title: 'AdminWebhook', description: 'The webhook; its secret is shown to nobody' },
);
export type AdminWebhook = Static<typeof AdminWebhook>;

const WebhookList = Closed({ webhooks: Type.Array(AdminWebhook) }, { description: 'The oldest first' });
export type WebhookList = Static<typeof WebhookList>;

const Secret = Type.String({ description: '`whsec_…`, which its signatures are verified with; it is not shown again' });
const CreatedWebhook = Closed(
  { ...AdminWebhook.properties, secret: Secret },
  { title: 'CreatedWebhook', description: 'The webhook, with its secret' },
);
export type CreatedWebhook = Static<typeof CreatedWebhook>;
const RotatedWebhookSecret = Closed(
  { id: Uuid, secret: Secret, previous_secret_until: TimestampOrNull('Until when the one before signs too') },
  { description: 'The new secret' },
);
export type RotatedWebhookSecret = Static<typeof RotatedWebhookSecret>;

const State = Type.String({ enum: ['pending', 'delivered', 'failed'] });
const WebhookDelivery = Closed(
  {
    id: Type.String({ format: 'uuid', maxLength: 36, description: 'The `webhook-id` of every attempt' }),
    event: Type.String(),
    event_id: Type.Union([Type.String(), Type.Null()], { description: 'In the audit trail; null for a test' }),
    state: State,
    attempts: Type.Integer(),
    made_at: { ...Timestamp, description: 'Since when it was to be sent' },
    next_at: TimestampOrNull('When it is tried again'),
    last_at: TimestampOrNull('When it was tried last'),
    status: Type.Union([Type.Integer(), Type.Null()], { description: 'What was answered last' }),
    error: Type.Union([Type.String(), Type.Null()], {
      description:
        'Why nothing was answered: `address_refused`, `unresolved`, `unreachable`, `tls`, `timeout`, `malformed`',
    }),
  },
  { title: 'WebhookDelivery', description: 'The delivery' },
);
export type WebhookDelivery = Static<typeof WebhookDelivery>;

const DeliveryList = Closed(
  { deliveries: Type.Array(WebhookDelivery), next_cursor: NextCursor },
  { description: 'The newest first. What was taken is kept for 3 days, what failed for 7' },
);
export type DeliveryList = Static<typeof DeliveryList>;
const Retried = Closed(
  { retried: Type.Integer({ description: 'How many are sent again' }) },
  { description: 'They are due' },
);
export type Retried = Static<typeof Retried>;

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

const shown = (endpoint: WebhookEndpoint): AdminWebhook => ({
  id: endpoint.id,
  url: endpoint.url,
  events: [...endpoint.events],
  description: endpoint.description,
  created_at: new Date(endpoint.createdAt).toISOString(),
  disabled_at: iso(endpoint.disabledAt),
  disabled_reason: endpoint.disabledReason,
  failing_since: iso(endpoint.failingSince),
  previous_secret_until: iso(endpoint.previousUntil),
  kek: endpoint.secrets.kekId,
});

const shownDelivery = (delivery: Delivery): WebhookDelivery => ({
  id: delivery.id,
  event: delivery.event,
  event_id: delivery.eventId,
  state: delivery.state,
  attempts: delivery.attempts,
  made_at: new Date(delivery.madeAt).toISOString(),
  next_at: iso(delivery.nextAt),
  last_at: iso(delivery.lastAt),
  status: delivery.lastStatus,
  error: delivery.lastError,
});

const all = '/v1/admin/webhooks';
const one = `${all}/:id` as const;
const params = Closed({ id: Uuid });
const isId = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);

export const webhookRoutes: AdminRoutes = (app, administration, whoAsks) => {
  const webhooks = () => administration.webhooks;

  app.get(all, { schema: readSchema(all, 'listWebhooks', 'The webhooks', { 200: WebhookList }) }, async (request) => {
    await whoAsks(request);
    return { webhooks: (await webhooks().list()).map(shown) };
  });

  const created = { 201: CreatedWebhook };
  app.post(
    all,
    {
      schema: {
        ...changeSchema(all, 'createWebhook', 'Make a webhook', created, 'webhook_limit', 'kek_unusable'),
        description: 'It gets what happens from now on, and what has happened in the seconds before.',
        body: Closed({ url: Url, events: Events, description: Type.Optional(Description) }),
      },
    },
    async (request, reply) => {
      const by = await whoAsks(request);
      const { description = null, ...rest } = request.body;
      const { endpoint, secret } = await webhooks().create({ ...rest, description }, by);
      return reply.code(201).send({ ...shown(endpoint), secret });
    },
  );

  app.get(
    one,
    { schema: { ...readSchema(one, 'getWebhook', 'One webhook', { 200: AdminWebhook }, 'not_found'), params } },
    async (request) => {
      await whoAsks(request);
      return shown(await webhooks().find(request.params.id));
    },
  );

  app.patch(
    one,
    {
      schema: {
        ...changeSchema(one, 'updateWebhook', 'Change what is named', { 200: AdminWebhook }, 'not_found'),
        description:
          'One that is disabled gives up what is pending; one that is enabled again gets what happens from then on.',
        params,
        body: Closed(
          {
            url: Type.Optional(Url),
            events: Type.Optional(Events),
            description: Type.Optional(Description),
            disabled: Type.Optional(Type.Boolean()),
          },
          { minProperties: 1 },
        ),
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      const changes: EndpointChanges = request.body;
      return shown(await webhooks().update(request.params.id, changes, by));
    },
  );

  app.delete(
    one,
    {
      schema: {
        ...changeSchema(
          one,
          'deleteWebhook',
          'Delete a webhook with what it has not taken; answers what it was',
          { 200: AdminWebhook },
          'not_found',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shown(await webhooks().delete(request.params.id, by));
    },
  );

  const secret = `${one}/secret` as const;
  app.post(
    secret,
    {
      schema: {
        ...changeSchema(
          secret,
          'rotateWebhookSecret',
          'Give a webhook another secret; the one before signs too, for a day',
          { 200: RotatedWebhookSecret },
          'not_found',
          'kek_unusable',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      const { endpoint, secret, previousUntil } = await webhooks().rotateSecret(request.params.id, by);
      return { id: endpoint.id, secret, previous_secret_until: iso(previousUntil) };
    },
  );

  const test = `${one}/test` as const;
  app.post(
    test,
    {
      schema: {
        ...changeSchema(
          test,
          'testWebhook',
          'Send a `webhook.test`; its deliveries say what came of it',
          { 200: WebhookDelivery },
          'not_found',
          'webhook_disabled',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shownDelivery(await webhooks().test(request.params.id, by));
    },
  );

  const deliveries = `${one}/deliveries` as const;
  app.get(
    deliveries,
    {
      schema: {
        ...readSchema(
          deliveries,
          'listWebhookDeliveries',
          'What was sent to a webhook, or is to be',
          { 200: DeliveryList },
          'not_found',
        ),
        params,
        querystring: Closed({ state: Type.Optional(State), ...pageQuery }),
      },
    },
    async (request) => {
      await whoAsks(request);
      const { after, limit } = pageOf(request.query, isId);
      const state = (request.query.state as DeliveryState | undefined) ?? null;
      const page = await webhooks().deliveries(request.params.id, state, after, limit);
      return { deliveries: page.items.map(shownDelivery), next_cursor: nextCursor(page) };
    },
  );

  const retries = `${one}/retries` as const;
  app.post(
    retries,
    {
      schema: {
        ...changeSchema(
          retries,
          'retryWebhookDeliveries',
          'Send again, now, what has failed or waits to be tried again: one delivery, or all',
          { 200: Retried },
          'not_found',
          'webhook_disabled',
          'delivery_not_failed',
        ),
        params,
        body: Closed({ delivery_id: Type.Optional({ ...Uuid, description: 'Unset: all of them' }) }),
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return { retried: await webhooks().retry(request.params.id, request.body.delivery_id ?? null, by) };
    },
  );
};
