/** RFC 6749 §4.4: a service asks for a token in its own name. No session, no refresh token. */
import type { Clock } from '../ports/clock.js';
import type { AccessTokenIssuer } from './access-token.js';
import { chooseAudience, chooseScope, requireGrant } from './clients.js';
import type { Ids } from './ids.js';
import { type Client, seconds } from './types.js';

export interface ClientCredentialsResponse {
  access_token: string;
  token_type: 'Bearer';
  /** Seconds. */
  expires_in: number;
  scope: string;
}

export type IssueToClient = (
  client: Client,
  asked: { audience?: string | undefined; scope?: string | undefined },
) => Promise<ClientCredentialsResponse>;

export const createIssueToClient =
  (accessTokens: AccessTokenIssuer, ids: Ids, clock: Clock): IssueToClient =>
  async (client, asked) => {
    requireGrant(client, 'client_credentials');
    const aud = chooseAudience(client, asked.audience);
    const scope = chooseScope(client, asked.scope);
    const accessToken = await accessTokens.issue({
      sub: client.clientId,
      aud,
      iat: seconds(clock.now()),
      ttl: client.accessTokenTtl,
      jti: ids.jti(),
      clientId: client.clientId,
      scope,
    });
    return { access_token: accessToken, token_type: 'Bearer', expires_in: client.accessTokenTtl, scope };
  };
