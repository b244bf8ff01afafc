/** What other services read: the public keys (RFC 7517) and the metadata (RFC 8414). Served from memory. */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { JWKS_MAX_AGE_S } from '../domain/key-ring.js';
import { refusals } from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

const CACHE_CONTROL = `public, max-age=${JWKS_MAX_AGE_S}, stale-while-revalidate=60, stale-if-error=3600`;

/** A strong validator: the same bytes have the same tag (RFC 9110 §8.8.3). */
const etagOf = (body: string): string => `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`;

/** RFC 9110 §13.1.2: a list, or any; compared weakly. */
const matches = (header: string | undefined, etag: string): boolean =>
  header?.split(',').some((entry) => ['*', etag].includes(entry.trim().replace(/^W\//, ''))) ?? false;

interface Document {
  body: string;
  etag: string;
}

function documentOf(value: unknown): Document {
  const body = JSON.stringify(value);
  return { body, etag: etagOf(body) };
}

function cacheable(request: FastifyRequest, reply: FastifyReply, { body, etag }: Document): void {
  reply.header('cache-control', CACHE_CONTROL).header('etag', etag);
  if (matches(request.headers['if-none-match'], etag)) reply.code(304).send();
  else
    reply
      .type('application/json; charset=utf-8')
      .serializer((text: string) => text)
      .send(body);
}

const secretMethods = ['client_secret_basic', 'client_secret_post'];

export const metadataOf = (issuer: string) => ({
  issuer,
  token_endpoint: `${issuer}/oauth/token`,
  revocation_endpoint: `${issuer}/oauth/revoke`,
  introspection_endpoint: `${issuer}/oauth/introspect`,
  jwks_uri: `${issuer}/.well-known/jwks.json`,
  grant_types_supported: ['refresh_token', 'client_credentials'],
  // Required by RFC 8414 §2; there is no authorization endpoint.
  response_types_supported: [],
  token_endpoint_auth_methods_supported: ['none', ...secretMethods],
  revocation_endpoint_auth_methods_supported: ['none', ...secretMethods],
  introspection_endpoint_auth_methods_supported: secretMethods,
  service_documentation: `${issuer}/docs`,
});

const Metadata = Type.Object(
  {
    issuer: Type.String(),
    token_endpoint: Type.String(),
    revocation_endpoint: Type.String({ description: 'RFC 7009' }),
    introspection_endpoint: Type.String({ description: 'RFC 7662' }),
    jwks_uri: Type.String(),
    grant_types_supported: Type.Array(Type.String()),
    response_types_supported: Type.Array(Type.String()),
    token_endpoint_auth_methods_supported: Type.Array(Type.String()),
    revocation_endpoint_auth_methods_supported: Type.Array(Type.String()),
    introspection_endpoint_auth_methods_supported: Type.Array(Type.String()),
    service_documentation: Type.String(),
  },
  { title: 'Metadata', description: 'RFC 8414 §2' },
);

const Jwks = Type.Object(
  {
    keys: Type.Array(
      Type.Object(
        {
          kty: Type.String(),
          kid: Type.String({ description: 'RFC 7638 thumbprint' }),
          alg: Type.String(),
          use: Type.Literal('sig'),
        },
        { additionalProperties: true },
      ),
    ),
  },
  { title: 'Jwks', description: 'RFC 7517' },
);

const NotModified = Type.Null({ description: 'The document is the one that the caller has' });

/** Made once for each view of the keys, not for each request. */
function jwksOf(keys: Services['keys']): () => Document {
  let from: ReturnType<typeof keys.published> | null = null;
  let document: Document;
  return () => {
    const published = keys.published();
    if (published !== from) {
      document = documentOf({ keys: published.map((key) => key.publicJwk) });
      from = published;
    }
    return document;
  };
}

export function wellKnownRoutes(app: App, { issuer, keys }: Services): void {
  const jwks = jwksOf(keys);
  // All of an office, or of a cluster, verify with these keys; they cost nothing, and without them nobody is let in.
  const config = { uncounted: true };
  const jwksPath = '/.well-known/jwks.json';
  app.get(
    jwksPath,
    {
      config,
      schema: {
        tags: ['discovery'],
        operationId: 'getJwks',
        summary: 'Public keys that verify access tokens (RFC 7517)',
        response: { 200: Jwks, 304: NotModified, ...refusals(jwksPath) },
      },
    },
    async (request, reply) => {
      cacheable(request, reply, jwks());
      return reply;
    },
  );

  const metadata = documentOf(metadataOf(issuer));
  for (const [path, operationId] of [
    ['/.well-known/oauth-authorization-server', 'getMetadata'],
    ['/.well-known/openid-configuration', 'getOpenidConfiguration'],
  ] as const) {
    app.get(
      path,
      {
        config,
        schema: {
          tags: ['discovery'],
          operationId,
          summary: 'Authorization server metadata (RFC 8414)',
          response: { 200: Metadata, 304: NotModified, ...refusals(path) },
        },
      },
      async (request, reply) => {
        cacheable(request, reply, metadata);
        return reply;
      },
    );
  }
}
