/** The libraries with which other services verify tokens, each with the caches that it has by default. */
import { JwtVerifier } from 'aws-jwt-verify';
import { SimpleJwksCache } from 'aws-jwt-verify/jwk';
import { auth } from 'express-oauth2-jwt-bearer';
import { createVerifier } from 'fast-jwt';
import buildGetJwks from 'get-jwks';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import jwt from 'jsonwebtoken';
import { JwksClient } from 'jwks-rsa';

/** Rejects when it does not accept the token. */
export type Verify = (token: string) => Promise<unknown>;

/** Each reads the keys from the node at `addressOf(its number)`: what one of them sees, another may not see yet. */
export function verifiersOf(
  issuer: string,
  audience: string,
  addressOf: (n: number) => string,
): Record<string, Verify> {
  const jwksUri = (n: number) => `${addressOf(n)}/.well-known/jwks.json`;
  const ofJose = createRemoteJWKSet(new URL(jwksUri(0)));
  const ofJwksRsa = new JwksClient({ jwksUri: jwksUri(1) });
  const ofGetJwks = buildGetJwks();
  const fastJwt = createVerifier({
    key: ({ header }: { header: Record<string, string | undefined> }) =>
      ofGetJwks.getPublicKey({ kid: header.kid ?? '', alg: header.alg ?? '', domain: addressOf(2) }),
    allowedIss: issuer,
    allowedAud: audience,
  });
  // It speaks https alone by itself.
  const fetcher = { fetch: async (uri: string) => (await fetch(uri)).arrayBuffer() };
  const aws = JwtVerifier.create(
    { issuer, audience, jwksUri: jwksUri(0) },
    { jwksCache: new SimpleJwksCache({ fetcher }) },
  );
  const express = auth({ issuer, audience, jwksUri: jwksUri(1) });
  return {
    jose: (token) => jwtVerify(token, ofJose, { issuer, audience }),
    async 'jwks-rsa'(token) {
      const key = await ofJwksRsa.getSigningKey(decodeProtectedHeader(token).kid);
      return jwt.verify(token, key.getPublicKey(), { issuer, audience });
    },
    'fast-jwt': async (token) => fastJwt(token),
    'aws-jwt-verify': (token) => aws.verify(token),
    'express-oauth2-jwt-bearer': (token) =>
      new Promise((resolve, reject) => {
        const next = (error?: unknown) => (error === undefined ? resolve(null) : reject(error));
        const request = requestWith(token) as Parameters<typeof express>[0];
        void Promise.resolve(express(request, {} as Parameters<typeof express>[1], next)).catch(reject);
      }),
  };
}

/** What the middleware reads of a request is all that it gets. */
const requestWith = (token: string) => ({
  headers: { authorization: `Bearer ${token}`, host: 'api.example.com' },
  protocol: 'https',
  hostname: 'api.example.com',
  url: '/',
  method: 'GET',
  query: {},
  get: () => 'api.example.com',
  is: () => false,
});
