/** A process that does nothing for a request but verify its token with jose: what a check costs at least. */
import { createServer } from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';

const { JWKS: jwks = '', TOKEN_ISSUER: issuer = '', AUDIENCE: audience = '' } = process.env;
const keys = createLocalJWKSet(JSON.parse(jwks));
const options = { issuer, audience, algorithms: ['RS256'], typ: 'at+jwt' };

const server = createServer((request, response) => {
  const token = request.headers.authorization?.slice('Bearer '.length) ?? '';
  jwtVerify(token, keys, options).then(
    ({ payload }) => response.writeHead(200, { 'content-length': 0, 'x-auth-subject': payload.sub ?? '' }).end(),
    () => response.writeHead(401, { 'content-length': 0 }).end(),
  );
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`);
});
