/** A client with header delivery, as a browser uses it. */
import type { LightMyRequestResponse } from 'fastify';
import type { NewClient } from '../../src/domain/clients.js';
import { PASSWORD, type TestService } from './service.js';

/** The token that an answer delivered; null where there is none. */
export const delivered = ({ headers }: LightMyRequestResponse): string | null => {
  const { jwt } = headers;
  return typeof jwt === 'string' ? jwt : null;
};

export interface Claims {
  iat: number;
  exp: number;
  jti: string;
  sid: string;
  roles: string[];
}

export const claimsOf = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

export function slidingOf(service: TestService) {
  /** Client, user and all: the token of a login. */
  async function begin(more: Partial<NewClient> = {}, email = 'ada@example.com'): Promise<string> {
    const client = {
      clientId: 'web',
      name: 'Web',
      type: 'public',
      audiences: ['api'],
      tokenDelivery: 'header',
    } as const;
    await service.services.clients.create({ ...client, ...more });
    await service.register(email);
    return login({ client_id: more.clientId ?? 'web' }, email);
  }

  async function login(more: Record<string, unknown> = {}, email = 'ada@example.com'): Promise<string> {
    const answer = await service.post('/v1/login', { email, password: PASSWORD, client_id: 'web', ...more });
    const token = delivered(answer);
    if (answer.statusCode !== 200 || token === null) throw new Error(`cannot log in: ${answer.body}`);
    return token;
  }

  /** Asks as a gateway does. */
  const check = (token: string, query = 'audience=api') => service.get(`/v1/authorize?${query}`, token);

  return { begin, login, check };
}
