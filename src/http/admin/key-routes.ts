/** /v1/admin/keys: the signing keys. */

import { type KeyOperation, keyJson } from '../../domain/signing-keys.js';
import { type SigningAlg, signingAlgs } from '../../domain/types.js';
import { Closed, Timestamp } from '../schemas.js';
import { type Static, Type } from '../type.js';
import type { AdminRoutes } from './routes.js';
import { changeSchema, readSchema } from './schemas.js';

/** An RSA key of 4,096 bits takes 3,300. */
const MAX_PEM_LENGTH = 8192;

const OrNull = (description: string) => Type.Union([Timestamp, Type.Null()], { description });
const Alg = Type.String({ enum: [...signingAlgs] });
const Kid = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$', maxLength: 43, description: 'RFC 7638 thumbprint' });
const State = Type.String({ enum: ['pending', 'active', 'retiring', 'retired', 'revoked'] });

const AdminKey = Closed(
  {
    kid: Kid,
    alg: Alg,
    state: State,
    kek: Type.Union([Type.String(), Type.Null()], {
      description: 'The KEK that seals the private part; null once that is destroyed',
    }),
    created_at: Timestamp,
    published_at: Timestamp,
    activated_at: OrNull('When it began to sign'),
    retiring_at: OrNull('When it stopped to sign'),
    retired_at: OrNull('When it was no longer published'),
    next: Type.Union([Closed({ state: State, at: Timestamp }), Type.Null()], {
      description: 'What will become of it by itself',
    }),
  },
  { title: 'AdminKey', description: 'The key as administrators see it; its private part is shown to nobody' },
);
export type AdminKey = Static<typeof AdminKey>;

const Keys = Type.Array(AdminKey, { description: 'Every key that there ever was, the oldest first' });
const KeyList = Closed({ keys: Keys }, { description: 'The keys' });
export type KeyList = Static<typeof KeyList>;

const change = {
  outcome: Type.String({
    enum: ['done', 'scheduled', 'already'],
    description: '`scheduled`: it happens by itself at `at`; `already`: nothing was changed',
  }),
  at: OrNull('When it happened, or will by itself'),
  announced: Type.Boolean({ description: 'Whether the other nodes were told; else they follow within 30 seconds' }),
  before: Keys,
  after: Keys,
};
const KeyChange = Closed(change, { title: 'KeyChange', description: 'What came of it' });
export type KeyChange = Static<typeof KeyChange>;
const ImportedKey = Closed({ kid: Kid, ...change }, { title: 'ImportedKey', description: 'The key is pending' });
export type ImportedKey = Static<typeof ImportedKey>;

const shown = ({ outcome, at, announced, before, after }: KeyOperation): KeyChange => ({
  outcome,
  at: at && new Date(at).toISOString(),
  announced,
  before: before.map(keyJson),
  after: after.map(keyJson),
});

const all = '/v1/admin/keys';
const params = Closed({ kid: Kid });

export const keyRoutes: AdminRoutes = (app, administration, whoAsks) => {
  const keys = () => administration.keys;

  app.get(
    all,
    { schema: readSchema(all, 'listSigningKeys', 'The signing keys', { 200: KeyList }) },
    async (request) => {
      await whoAsks(request);
      return { keys: (await keys().list()).map(keyJson) };
    },
  );

  app.post(
    all,
    {
      schema: {
        ...changeSchema(
          all,
          'importSigningKey',
          'Take a private key that was made elsewhere; it becomes pending',
          { 200: ImportedKey },
          'key_rejected',
          'key_state_conflict',
          'key_unusable',
          'kek_unusable',
        ),
        body: Closed({
          pem: Type.String({ minLength: 1, maxLength: MAX_PEM_LENGTH, description: 'Not encrypted' }),
          alg: Type.Optional({ ...Alg, description: 'Default: the service’s `SIGNING_ALG`' }),
        }),
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      const { pem, alg } = request.body;
      const { kid, ...operation } = await keys().import(pem, (alg as SigningAlg | undefined) ?? null, by);
      return { kid, ...shown(operation) };
    },
  );

  for (const [verb, summary] of [
    ['rotate', 'Let another key sign: at once, or as soon as verifiers know it'],
    ['rewrap', 'Seal every private key, and every secret of a webhook, under the newest KEK'],
  ] as const) {
    const path = `${all}/${verb}` as const;
    const codes = ['key_state_conflict', 'key_unusable', 'kek_unusable'] as const;
    const schema = changeSchema(path, `${verb}SigningKeys`, summary, { 200: KeyChange }, ...codes);
    app.post(path, { schema }, async (request) => {
      const by = await whoAsks(request);
      return shown(await keys()[verb](by));
    });
  }

  const promote = `${all}/:kid/promote` as const;
  app.post(
    promote,
    {
      schema: {
        ...changeSchema(
          promote,
          'promoteSigningKey',
          'Let this pending key sign: at once, or as soon as verifiers know it',
          { 200: KeyChange },
          'key_not_found',
          'key_state_conflict',
          'key_unusable',
        ),
        params,
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      return shown(await keys().promote(request.params.kid, by));
    },
  );

  const revoke = `${all}/:kid/revoke` as const;
  app.post(
    revoke,
    {
      schema: {
        ...changeSchema(
          revoke,
          'revokeSigningKey',
          'Trust this key no longer',
          { 200: KeyChange },
          'key_not_found',
          'key_state_conflict',
        ),
        description:
          'With `compromised` every token of the key is refused at once, with `unknown_key`; verifiers that cache keys accept them until their cache is renewed. If no other key could take its place, `after` has none that is `active`: logins and refreshes are answered with 503 until a node has made one. Without it no token that is still good stops working.',
        params,
        body: Closed({ compromised: Type.Optional(Type.Boolean({ description: 'Default: false' })) }),
      },
    },
    async (request) => {
      const by = await whoAsks(request);
      const { compromised = false } = request.body;
      return shown(await keys().revoke(request.params.kid, { compromised }, by));
    },
  );
};
