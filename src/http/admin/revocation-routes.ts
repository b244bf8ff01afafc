/** /v1/admin/revocations: what is revoked by hand. */

import { validate as isUuid } from 'uuid';
import { Refusal } from '../../domain/errors.js';
import { type RevocationKind, revocationKinds } from '../../domain/revocation.js';
import type { RevocationTarget } from '../../domain/revocation-administration.js';
import { Closed, isClientId } from '../schemas.js';
import { Type } from '../type.js';
import type { AdminRoutes } from './routes.js';
import { changeSchema } from './schemas.js';

const path = '/v1/admin/revocations';
/** As long as any token may be. */
const MAX_VALUE_LENGTH = 8192;

export interface RevocationOrder {
  kind: RevocationKind;
  value?: string;
}

const isGood: Record<RevocationKind, (value: string) => boolean> = {
  jti: () => true,
  sid: isUuid,
  sub: isUuid,
  client: isClientId,
  all: () => false,
};

const names: Record<RevocationKind, string> = {
  jti: 'a jti',
  sid: 'the id of a session',
  sub: 'the id of a user',
  client: 'a client_id',
  all: 'a kind with a value',
};

function targetOf({ kind, value }: RevocationOrder): RevocationTarget {
  const wrong = (what: string) => new Refusal('invalid_request', { detail: `body value: ${what}` });
  if (kind === 'all') {
    if (value !== undefined) throw wrong('there is none of the kind all');
    return { kind };
  }
  if (value === undefined) throw wrong('it is required');
  if (!isGood[kind](value)) throw wrong(`not ${names[kind]}`);
  return { kind, value } as RevocationTarget;
}

export const revocationRoutes: AdminRoutes = (app, administration, whoAsks) => {
  app.post(
    path,
    {
      schema: {
        ...changeSchema(
          path,
          'revoke',
          'Revoke a token, a session, a user, a client, or everything',
          { 204: Type.Null({ description: 'No node accepts it any more' }) },
          'token_rejected',
          'revocation_pending',
        ),
        description:
          '`sid`, `sub`, `client` and `all` end sessions too. `sub`, `client` and `all` concern what was issued until the answer, and nothing after it; `all` includes the token of the administrator who asks. What is not there is revoked all the same.',
        body: Closed({
          kind: Type.String({ enum: [...revocationKinds] }),
          value: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: MAX_VALUE_LENGTH,
              description:
                'For `jti` the claim or the whole access token; for `sid` and `sub` a UUID; for `client` the client_id; none for `all`',
            }),
          ),
        }),
      },
    },
    async (request, reply) => {
      const by = await whoAsks(request);
      await administration.revocations.revoke(targetOf(request.body as RevocationOrder), by);
      return reply.code(204).send(null);
    },
  );
};
