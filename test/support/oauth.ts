/** Forms at /oauth, and clients that can prove who they are. */
import type { LightMyRequestResponse } from 'fastify';
import type { NewClient } from '../../src/domain/clients.js';
import { noteSecret } from './run-log.js';
import type { TestService } from './service.js';

export function basicOf(clientId: string, secret: string): { authorization: string } {
  const credentials = Buffer.from(`${clientId}:${secret}`).toString('base64');
  noteSecret(credentials);
  return { authorization: `Basic ${credentials}` };
}

export function oauthOf({ services, call }: TestService) {
  const send = (url: string, form: Record<string, string>, headers = {}): Promise<LightMyRequestResponse> =>
    call({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      payload: new URLSearchParams(form).toString(),
    });

  /** A confidential client, with what it sends to prove who it is. */
  async function confidential(clientId: string, more: Partial<NewClient> = {}) {
    const fields = { clientId, name: clientId, type: 'confidential', audiences: ['api'], ...more } as const;
    const { secret } = await services.clients.create(fields);
    if (secret === null) throw new Error('a confidential client has a secret');
    noteSecret(secret);
    return { clientId, secret, basic: basicOf(clientId, secret) };
  }

  /** A token in the client's own name. */
  async function tokenOf(basic: { authorization: string }, form: Record<string, string> = {}): Promise<string> {
    const response = await send('/oauth/token', { grant_type: 'client_credentials', ...form }, basic);
    if (response.statusCode !== 200) throw new Error(`no token: ${response.body}`);
    return response.json().access_token;
  }

  return { send, confidential, tokenOf };
}
