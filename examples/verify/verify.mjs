// Verifies an access token of Keyturn with its public keys: npm install jose
import { text } from 'node:stream/consumers';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { ISSUER, AUDIENCE } = process.env;
if (!ISSUER || !AUDIENCE) {
  console.error('set ISSUER and AUDIENCE');
  process.exit(2);
}

// One for the process: it keeps the keys, and looks again when a token names one it does not have.
const keys = createRemoteJWKSet(new URL(`${ISSUER}/.well-known/jwks.json`));

async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ['RS256'],
    typ: 'at+jwt',
    issuer: ISSUER,
    audience: AUDIENCE,
    requiredClaims: ['exp', 'iat', 'sub', 'jti'],
    clockTolerance: 5,
  });
  return payload;
}

try {
  console.log(JSON.stringify(await verify((await text(process.stdin)).trim())));
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
