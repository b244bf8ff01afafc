/** /v1/admin/clients: the applications. */

import { policies } from '../../domain/anomalies/policy.js';
import type { ClientSettings } from '../../domain/clients.js';
import { type Client, grants } from '../../domain/types.js';
import { Audience, ClientId, Closed, shownText, Timestamp } from '../schemas.js';
import { type Static, type TProperties, Type } from '../type.js';
import type { AdminRoutes } from './routes.js';
import { changeSchema, listOf, Name, NextCursor, nextCursor, pageOf, pageQuery, readSchema } from './schemas.js';

const DAY_S = 86_400;
/** Seconds. What a token says cannot be taken back before it expires, so that a day is long. */
const MAX_ACCESS_TOKEN_TTL_S = DAY_S;
const MAX_SESSION_TTL_S = 3650 * DAY_S;

/** `.` and `..` would be taken out of a path. */
const NewClientId = Type.String({ minLength: 1, maxLength: 128, pattern: '^(?!\\.{1,2}$)[\\x21-\\x7e]*$' });
const ClientType = Type.String({ enum: ['public', 'confidential'] });
const ttl = (maximum: number, description: string) =>
  Type.Integer({ minimum: 1, maximum, description: `Seconds. ${description}` });

/** What can be changed of a client. */
const settings = {
  name: shownText(200, 'For people'),
  audiences: listOf(Audience, 'What its tokens may be for; the first unless another is asked for', { minItems: 1 }),
  scopes: listOf(Name, 'What it may ask for'),
  grants: listOf(Type.String({ enum: [...grants] }), 'How it may get tokens', { maxItems: grants.length }),
  required_roles: listOf(Name, 'Only users with all of these get its tokens'),
  access_token_ttl: ttl(
    MAX_ACCESS_TOKEN_TTL_S,
    'How long an access token is good; with header delivery it is the `idle_ttl`',
  ),
  idle_ttl: ttl(
    MAX_SESSION_TTL_S,
    'A session ends when it was not used for so long; a day at most with header delivery',
  ),
  absolute_ttl: ttl(MAX_SESSION_TTL_S, 'A session ends so long after the login'),
  token_delivery: Type.String({
    enum: ['body', 'header'],
    description:
      '`header`: the access token comes in a response header, and is renewed there with each request; there is no refresh token',
  }),
  renew_after: Type.Integer({
    minimum: 0,
    maximum: DAY_S,
    description: 'Seconds. With header delivery: how old a token gets before it is renewed; 0: each request renews it',
  }),
  cors_origins: listOf(Type.String({ maxLength: 256 }), 'Origins of its pages, exactly'),
  anomaly_policy: Type.String({
    enum: [...policies],
    description:
      'The most that may be done by itself about a session that looks stolen, from a line in the log to its end',
  }),
};

const optional = <T extends TProperties>(properties: T) => Type.Partial(Closed(properties)).properties;
const { name: _, audiences, ...rest } = settings;

const AdminClient = Closed(
  { client_id: Type.String(), type: Type.String(), ...settings, created_at: Timestamp },
  { title: 'AdminClient', description: 'The client; its secret is known to nobody here' },
);
export type AdminClient = Static<typeof AdminClient>;

const ClientList = Closed(
  { clients: Type.Array(AdminClient), next_cursor: NextCursor },
  { description: 'By client_id' },
);
export type ClientList = Static<typeof ClientList>;

const Secret = Type.String({ description: '`kts_…`, of a confidential client; it is not shown again' });
const CreatedClient = Closed(
  { ...AdminClient.properties, client_secret: Type.Optional(Secret) },
  { title: 'CreatedClient', description: 'The client, with its secret' },
);
export type CreatedClient = Static<typeof CreatedClient>;
const RotatedSecret = Closed({ client_id: Type.String(), client_secret: Secret }, { description: 'The new secret' });
export type RotatedSecret = Static<typeof RotatedSecret>;

const Changes = Closed(optional(settings), { minProperties: 1 });
export type ClientChanges = Static<typeof Changes>;

const shown = (client: Client): AdminClient => ({
  client_id: client.clientId,
  type: client.type,
  name: client.name,
  audiences: [...client.audiences],
  scopes: [...client.scopes],
  grants: [...client.grants],
  required_roles: [...client.requiredRoles],
  access_token_ttl: client.accessTokenTtl,
  idle_ttl: client.idleTtl,
  absolute_ttl: client.absoluteTtl,
  token_delivery: client.tokenDelivery,
  renew_after: client.renewAfter,
  cors_origins: [...client.corsOrigins],
  anomaly_policy: client.anomalyPolicy,
  created_at: new Date(client.createdAt).toISOString(),
});

const members = {
  name: 'name',
  audiences: 'audiences',
  scopes: 'scopes',
  grants: 'grants',
  required_roles: 'requiredRoles',
  access_token_ttl: 'accessTokenTtl',
  idle_ttl: 'idleTtl',
  absolute_ttl: 'absoluteTtl',
  token_delivery: 'tokenDelivery',
  renew_after: 'renewAfter',
  cors_origins: 'corsOrigins',
  anomaly_policy: 'anomalyPolicy',
} as const satisfies Record<keyof typeof settings, keyof ClientSettings>;

/** The schema has checked what the types do not say. */
const settingsOf = (changes: ClientChanges): Partial<ClientSettings> =>
  Object.fromEntries(
    Object.entries(members).flatMap(([name, member]) => {
      const value = changes[name as keyof ClientChanges];
      return value === undefined ? [] : [[member, value]];
    }),
  );

const one = '/v1/admin/clients/:client_id';
const params = Closed({ client_id: ClientId });
const isClientId = (text: string) => /^[\x21-\x7e]{1,128}$/.test(text);

export const clientRoutes: AdminRoutes = (app, administration, whoAsks) => {
  const clients = () => administration.clients;

  app.get(
    '/v1/admin/clients',
    {
      schema: {
        ...readSchema('/v1/admin/clients', 'listClients', 'The clients', { 200: ClientList }),
        querystring: Closed(pageQuery),
      },
    },
    async (request) => {
      await whoAsks(request);
      const { after, limit } = pageOf(request.query, isClientId);
      const page = await clients().list(after, limit);
      return { clients: page.items.map(shown), next_cursor: nextCursor(page) };
    },
  );

  app.post(
    '/v1/admin/clients',
    {
      schema: {
        ...changeSchema(
          '/v1/admin/clients',
          'createClient',
          'Make a client; the answer to this has the secret of a confidential one',
          { 201: CreatedClient },
          'client_exists',
        ),
        body: Closed({
          client_id: NewClientId,
          type: ClientType,
          name: Type.Optional(settings.name),
          audiences,
          ...optional(rest),
        }),
      },
    },
    async (request, reply) => {
      const by = await whoAsks(request);
      const { client_id: clientId, type, ...given } = request.body;
      const { name = clientId, audiences } = given;
      const fields = { ...settingsOf(given), clientId, type: type as Client['type'], name, audiences };
      const { client, secret } = await clients().create(fields, by);
      return reply.code(201).send({ ...shown(client), ...(secret === null ? {} : { client_secret: secret }) });
    },
  );

  app.get(
    one,
    { schema: { ...readSchema(one, 'getClient', 'One client', { 200: AdminClient }, 'not_found'), params } },
    async (request) => {
      await whoAsks(request);
      return shown(await clients().find(request.params.client_id));
    },
  );

  app.patch(
    one,
    {
      schema: {
        ...changeSchema(one, 'updateClient', 'Change what is named', { 200: AdminClient }, 'not_found'),
        description:
          'Sessions go on with the audience and scope of their login; times to live and required roles count from their next refresh on.',
        params,
        body: Changes,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shown(await clients().update(request.params.client_id, settingsOf(request.body), by));
    },
  );

  const secret = `${one}/secret` as const;
  app.post(
    secret,
    {
      schema: {
        ...changeSchema(
          secret,
          'rotateClientSecret',
          'Give a confidential client another secret; the one before is good no more',
          { 200: RotatedSecret },
          'not_found',
          'client_public',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      const rotated = await clients().rotateSecret(request.params.client_id, by);
      return { client_id: rotated.client.clientId, client_secret: rotated.secret };
    },
  );

  app.delete(
    one,
    {
      schema: {
        ...changeSchema(
          one,
          'deleteClient',
          'Delete a client with all its sessions; answers what it was',
          { 200: AdminClient },
          'not_found',
          'client_required',
          'revocation_pending',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shown(await clients().delete(request.params.client_id, by));
    },
  );
};
