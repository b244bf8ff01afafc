/** /v1/admin/users: the accounts of others. */

import { validate as isUuid } from 'uuid';
import type { User, UserId } from '../../domain/types.js';
import { Closed, Email, Password, Timestamp, Uuid } from '../schemas.js';
import { type Static, Type } from '../type.js';
import type { AdminRoutes } from './routes.js';
import { changeSchema, listOf, Name, NextCursor, nextCursor, pageOf, pageQuery, readSchema } from './schemas.js';

const AdminUser = Closed(
  {
    id: Uuid,
    email: Type.String(),
    email_verified: Type.Boolean(),
    roles: Type.Array(Type.String()),
    disabled_at: Type.Union([Timestamp, Type.Null()]),
    password_changed_at: Timestamp,
    created_at: Timestamp,
  },
  { title: 'AdminUser', description: 'The account as administrators see it' },
);
export type AdminUser = Static<typeof AdminUser>;

const UserList = Closed({ users: Type.Array(AdminUser), next_cursor: NextCursor }, { description: 'The oldest first' });
export type UserList = Static<typeof UserList>;

const Generated = Type.Optional(
  Type.String({ description: 'The password that was made because none was given; it is not shown again' }),
);
const CreatedUser = Closed(
  { ...AdminUser.properties, password: Generated },
  { title: 'CreatedUser', description: 'The account, with the password if it was made here' },
);
export type CreatedUser = Static<typeof CreatedUser>;

const Ended = { ended_sessions: Type.Integer({ description: 'How many sessions were live' }) };
const EndedSessions = Closed(Ended, { description: 'All sessions have ended' });
export type EndedSessions = Static<typeof EndedSessions>;
const PasswordSet = Closed({ ...Ended, password: Generated }, { description: 'The password is set' });
export type PasswordSet = Static<typeof PasswordSet>;

const Roles = listOf(Name, 'Roles; `admin` is that of administrators');
const params = Closed({ id: Uuid });
const one = '/v1/admin/users/:id';

export const shownUser = (user: User): AdminUser => ({
  id: user.id,
  email: user.email,
  email_verified: user.emailVerified,
  roles: [...user.roles],
  disabled_at: user.disabledAt && new Date(user.disabledAt).toISOString(),
  password_changed_at: new Date(user.passwordChangedAt).toISOString(),
  created_at: new Date(user.createdAt).toISOString(),
});
const withPassword = <T extends object>(answer: T, generated: string | null) =>
  generated === null ? answer : { ...answer, password: generated };

export const userRoutes: AdminRoutes = (app, administration, whoAsks) => {
  const users = () => administration.users;

  app.get(
    '/v1/admin/users',
    {
      schema: {
        ...readSchema('/v1/admin/users', 'adminListUsers', 'The accounts', { 200: UserList }),
        querystring: Closed({
          ...pageQuery,
          email: Type.Optional({ ...Email, description: 'The one with this e-mail' }),
        }),
      },
    },
    async (request) => {
      await whoAsks(request);
      const { email } = request.query;
      const { after, limit } = pageOf(request.query, isUuid);
      if (email !== undefined) {
        const user = await users().findByEmail(email);
        return { users: user === null ? [] : [shownUser(user)], next_cursor: null };
      }
      const page = await users().list(after as UserId | null, limit);
      return { users: page.items.map(shownUser), next_cursor: nextCursor(page) };
    },
  );

  app.post(
    '/v1/admin/users',
    {
      schema: {
        ...changeSchema(
          '/v1/admin/users',
          'adminCreateUser',
          'Make an account; without a password one is made',
          { 201: CreatedUser },
          'email_taken',
          'password_rejected',
        ),
        body: Closed({ email: Email, password: Type.Optional(Password), roles: Type.Optional(Roles) }),
      },
    },
    async (request, reply) => {
      const by = await whoAsks(request);
      const { email, password = null, roles = [] } = request.body;
      const { user, generated } = await users().create({ email, password, roles }, by);
      return reply.code(201).send(withPassword(shownUser(user), generated));
    },
  );

  app.get(
    one,
    { schema: { ...readSchema(one, 'adminGetUser', 'One account', { 200: AdminUser }, 'not_found'), params } },
    async (request) => {
      await whoAsks(request);
      return shownUser(await users().find(request.params.id as UserId));
    },
  );

  for (const [verb, summary] of [
    ['disable', 'Disable an account: all its sessions end'],
    ['enable', 'Enable an account'],
  ] as const) {
    const path = `${one}/${verb}` as const;
    const codes = verb === 'disable' ? (['own_account', 'revocation_pending'] as const) : [];
    const schema = changeSchema(path, `${verb}User`, summary, { 200: AdminUser }, 'not_found', ...codes);
    app.post(path, { schema: { ...schema, params } }, async (request) => {
      const by = await whoAsks(request);
      return shownUser(await users()[verb](request.params.id as UserId, by));
    });
  }

  const roles = `${one}/roles` as const;
  app.put(
    roles,
    {
      schema: {
        ...changeSchema(
          roles,
          'setUserRoles',
          'Give an account these roles and no others, from its next refresh on',
          { 200: AdminUser },
          'not_found',
          'own_account',
        ),
        params,
        body: Closed({ roles: Roles }),
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shownUser(await users().setRoles(request.params.id as UserId, request.body.roles, by));
    },
  );

  const password = `${one}/password` as const;
  app.put(
    password,
    {
      schema: {
        ...changeSchema(
          password,
          'setUserPassword',
          'Set the password, or let one be made: all sessions end',
          { 200: PasswordSet },
          'not_found',
          'password_rejected',
          'revocation_pending',
        ),
        params,
        body: Closed({ password: Type.Optional(Password) }),
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      const { ended, generated } = await users().setPassword(
        request.params.id as UserId,
        request.body.password ?? null,
        by,
      );
      return withPassword({ ended_sessions: ended }, generated);
    },
  );

  const sessions = `${one}/sessions` as const;
  app.delete(
    sessions,
    {
      schema: {
        ...changeSchema(
          sessions,
          'endUserSessions',
          'End all sessions',
          { 200: EndedSessions },
          'not_found',
          'revocation_pending',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return { ended_sessions: await users().endSessions(request.params.id as UserId, by) };
    },
  );

  app.delete(
    one,
    {
      schema: {
        ...changeSchema(
          one,
          'deleteUser',
          'Delete an account with all its sessions; answers what it was',
          { 200: AdminUser },
          'not_found',
          'own_account',
          'revocation_pending',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shownUser(await users().delete(request.params.id as UserId, by));
    },
  );
};
