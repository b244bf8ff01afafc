/** How a client says who it is at `/oauth` (RFC 6749 §2.3.1): `client_secret_basic`, `client_secret_post`, or its name. */

import type { FastifyRequest } from 'fastify';
import type { ProvedClient } from '../domain/clients.js';
import { Refusal } from '../domain/errors.js';
import type { Client } from '../domain/types.js';
import { authorizationOf } from './bearer.js';
import { formDecode } from './bodies.js';
import { callerOf } from './request-log.js';
import { ClientId, isClientId } from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';

/** Of every form at `/oauth`. */
export const clientFields = {
  client_id: Type.Optional(ClientId),
  client_secret: Type.Optional(Type.String({ maxLength: 1024, format: 'password' })),
};

interface Fields {
  client_id?: string;
  client_secret?: string;
}

interface Credentials {
  clientId: string;
  secret: string;
}

const invalid = (detail: string) => new Refusal('invalid_request', { detail });

/** In the header or in the form, not both; null when there is no secret. */
function credentialsOf(request: FastifyRequest, form: Fields): Credentials | null {
  const header = authorizationOf(request);
  if (header !== undefined) {
    const basic = basicCredentials(header);
    if (form.client_secret !== undefined) throw invalid('the client authenticates in two ways at once');
    if (form.client_id !== undefined && form.client_id !== basic.clientId)
      throw invalid('client_id is not that of the header');
    return basic;
  }
  if (form.client_secret === undefined) return null;
  if (form.client_id === undefined) throw invalid('client_id is required');
  return { clientId: form.client_id, secret: form.client_secret };
}

function basicCredentials(header: string): Credentials {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(header)?.[1];
  const pair = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const at = pair.indexOf(':');
  if (at < 1) throw new Refusal('invalid_client');
  const credentials = decodePair(pair.slice(0, at), pair.slice(at + 1));
  // What a form's client_id may not be, nor what the database cannot compare (NUL), is no client here either.
  if (credentials === null || !isClientId(credentials.clientId)) throw new Refusal('invalid_client');
  return credentials;
}

function decodePair(clientId: string, secret: string): Credentials | null {
  try {
    return { clientId: formDecode(clientId), secret: formDecode(secret) };
  } catch {
    return null;
  }
}

type Known = Pick<Services, 'clients' | 'guard'>;

/** Null when the request has no secret; throws `invalid_client` when it has a wrong one. */
export async function authenticatedClient(
  request: FastifyRequest,
  form: Fields,
  { clients, guard }: Known,
): Promise<ProvedClient | null> {
  const credentials = credentialsOf(request, form);
  if (credentials === null) return null;
  const { clientId, secret } = credentials;
  const caller = callerOf(request);
  const client = await guard.secret(caller, () => clients.authenticate(clientId, secret, caller));
  request.outcome.subject = { clientId };
  request.server.limits.spendClient(request, clientId);
  return client;
}

/** A client that proves who it is, or a public one, which cannot, by its name. Throws `invalid_client`. */
export async function anyClient(request: FastifyRequest, form: Fields, known: Known): Promise<Client> {
  const authenticated = await authenticatedClient(request, form, known);
  if (authenticated !== null) return authenticated;
  if (form.client_id === undefined) throw new Refusal('invalid_client');
  const client = await known.clients.identify(form.client_id);
  request.outcome.subject = { clientId: client.clientId };
  return client;
}
