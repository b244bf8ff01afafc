/** What checks access tokens in a service: keyturn/verifier, and what people use instead. */
import { JwtVerifier } from 'aws-jwt-verify';
import { createVerifier as createFastVerifier } from 'fast-jwt';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { createVerifier } from '../src/verifier/index.js';
import { AUDIENCE, type IssuerKeys } from './issuer.js';

/** By keyturn/verifier, as it comes; and by fast-jwt, which is told. */
export const REMEMBERED_TOKENS = 10_000;
const STALE_AFTER_S = 60;

/** Throws, or rejects, where a token is not good. */
export type Check = (token: string) => unknown;

export interface StartedVerifier {
  check: Check;
  close(): void;
}

export const OURS = 'keyturn/verifier, revocations followed';
export const JOSE = 'jose.jwtVerify, no revocation';
export const FAST_JWT = 'fast-jwt with its cache, no revocation';

async function startOurs({ url }: IssuerKeys): Promise<StartedVerifier> {
  const verifier = createVerifier({
    issuer: url,
    audience: AUDIENCE,
    revocation: { follow: { token: async () => 'reader' }, maxStaleness: STALE_AFTER_S },
  });
  // A million revocations take longer to read than it waits at a time.
  for (let known = false; !known; )
    known = await verifier.warmUp().then(
      () => true,
      () => false,
    );
  return { check: (token) => verifier.verify(token), close: () => verifier.close() };
}

export function jose({ url, jwks }: IssuerKeys): Check {
  const keys = createLocalJWKSet(jwks);
  const options = { issuer: url, audience: AUDIENCE, algorithms: ['RS256'], typ: 'at+jwt' };
  return (token) => jwtVerify(token, keys, options);
}

const fastJwt = ({ url, pem }: IssuerKeys): Check =>
  createFastVerifier({
    ...{ key: pem, cache: REMEMBERED_TOKENS, algorithms: ['RS256'] },
    ...{ allowedIss: url, allowedAud: AUDIENCE },
  });

function aws({ url, jwks }: IssuerKeys): Check {
  const verifier = JwtVerifier.create({ issuer: url, audience: AUDIENCE, jwksUri: `${url}/jwks.json` });
  verifier.cacheJwks(jwks as Parameters<typeof verifier.cacheJwks>[0]);
  return (token) => verifier.verifySync(token);
}

const withoutState = (make: (issuer: IssuerKeys) => Check) => async (issuer: IssuerKeys) => ({
  check: make(issuer),
  close() {},
});

export const verifiers: Record<string, (issuer: IssuerKeys) => Promise<StartedVerifier>> = {
  [OURS]: startOurs,
  [JOSE]: withoutState(jose),
  [FAST_JWT]: withoutState(fastJwt),
  'aws-jwt-verify, no revocation': withoutState(aws),
};
