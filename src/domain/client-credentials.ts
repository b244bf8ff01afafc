/** RFC 6749 §4.4: a service asks for a token in its own name. No session, no refresh token. */
import type { AccessTokenIssuer } from './access-token.js';
import { chooseAudience, chooseScope, type ProvedClient, requireGrant } from './clients.js';
import type { Ids } from './ids.js';
import { seconds } from './types.js';

export interface ClientCredentialsResponse {
  access_token: string;
  token_type: 'Bearer';
  /** Seconds. */
  expires_in: number;
  scope: string;
}

export type IssueToClient = (
  client: ProvedClient,
  asked: { audience?: string | undefined; scope?: string | undefined },
) => Promise<ClientCredentialsResponse>;

export const createIssueToClient =
  (accessTokens: AccessTokenIssuer, ids: Ids): IssueToClient =>
  async (client, asked) => {
    requireGrant(client, 'client_credentials');
    const aud = chooseAudience(client, asked.audience);
    const scope = chooseScope(client, asked.scope);
    const accessToken = await accessTokens.issue({
      sub: client.clientId,
      aud,
      // Not now: a rule for what the client had until it was deleted or got another secret concerns this one too.
      iat: seconds(client.provedAt),
      ttl: client.accessTokenTtl,
      jti: ids.jti(),
      clientId: client.clientId,
      scope,
    });
    return { access_token: accessToken, token_type: 'Bearer', expires_in: client.accessTokenTtl, scope };
  };
