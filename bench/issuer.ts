/** An issuer for measurements: tokens, their JWKS, and a feed of as many revocations as are asked for. */
import { createServer } from 'node:http';
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose';
import type { Scope } from '../test/support/scope.js';

export const AUDIENCE = 'api';
const KID = 'bench';
const PAGE = 1_000;
const HOUR_S = 3_600;

export const uuid = (n: number): string => `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;

export interface IssuerKeys {
  url: string;
  pem: string;
  jwks: { keys: JWK[] };
}

export interface Issuer extends IssuerKeys {
  /** A token of its own session; `n` is in its `jti` and `sid`, and above the revoked ones. */
  token(n: number): Promise<string>;
}

export async function startIssuer(scope: Scope, revocations: number): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: KID, alg: 'RS256', use: 'sig' }] };
  const now = Math.floor(Date.now() / 1000);
  const date = (seconds: number) => new Date(seconds * 1000).toISOString();
  const row = (n: number) => ({
    id: String(n),
    kind: 'sid',
    value: uuid(n),
    not_before: null,
    revoked_at: date(now),
    expires_at: date(now + HOUR_S),
  });

  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://issuer');
    const after = Number(searchParams.get('after') ?? 0);
    const current = () => ({ cursor: String(revocations), as_of: new Date().toISOString() });
    if (pathname === '/v1/revocations/stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const tell = () => response.write(`event: current\nid: ${revocations}\ndata: ${JSON.stringify(current())}\n\n`);
      tell();
      const timer = setInterval(tell, 2_000);
      response.once('close', () => clearInterval(timer));
      return;
    }
    const page = Array.from({ length: Math.max(Math.min(PAGE, revocations - after), 0) }, (_, i) => row(after + i + 1));
    const cursor = String(after + page.length);
    const feed = { ...current(), revocations: page, cursor, has_more: after + page.length < revocations };
    const body = pathname === '/v1/revocations' ? feed : jwks;
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=300' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    pem: await exportSPKI(publicKey),
    jwks,
    token: (n) =>
      new SignJWT({ sid: uuid(2 ** 40 + n), client_id: 'default', scope: '', roles: [] })
        .setProtectedHeader({ alg: 'RS256', kid: KID, typ: 'at+jwt' })
        .setIssuer(url)
        .setSubject(uuid(n))
        .setAudience(AUDIENCE)
        .setJti(uuid(2 ** 41 + n))
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(now + HOUR_S)
        .sign(privateKey),
  };
}
