/** A service as those who verify its tokens see it. */
import type { Test } from 'tap';
import { systemClock } from '../../src/adapters/system/clock.js';
import { createAccessTokenIssuer } from '../../src/domain/access-token.js';
import { seconds } from '../../src/domain/types.js';
import { freePort } from './servers.js';
import { type ServiceOptions, startService } from './service.js';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString());

/** A service that listens, a token that it issued, and some that nobody should believe, by what is wrong with them. */
export async function startIssuer(t: Test, options: ServiceOptions = {}) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const service = await startService(t, { ...options, clock: systemClock, env: { ISSUER: issuer } });
  const { app, services, register, login } = service;
  await app.listen({ host: '127.0.0.1', port });
  await register();
  const { access_token: good } = await login();
  const [header, payload, signature] = good.split('.');

  const now = seconds(systemClock.now());
  const content = { sub: 'somebody', aud: 'api', iat: now, ttl: 900, jti: 'a', clientId: 'default', scope: '' };
  const issue = (changes: Partial<typeof content>, as = issuer) =>
    createAccessTokenIssuer(as, services.keys).issue({ ...content, ...changes });
  const { kid, alg, handle } = services.keys.signingKey();
  const signed = async (head: object, claims: object) => {
    const input = `${encode(head)}.${encode(claims)}`;
    return `${input}.${Buffer.from(await handle.sign(Buffer.from(input))).toString('base64url')}`;
  };
  const { exp, ...withoutExp } = decode(payload);
  const bad: Record<string, string> = {
    'has expired': await issue({ iat: now - 1000 }),
    'is not valid yet': await issue({ iat: now + 600 }),
    'is for another audience': await issue({ aud: 'admin-api' }),
    'is of another issuer': await issue({}, 'https://other.example.com'),
    'was changed': `${header}.${encode({ ...decode(payload), sub: 'somebody else' })}.${signature}`,
    'is not signed': `${encode({ ...decode(header), alg: 'none' })}.${payload}.`,
    'names an unknown key': `${encode({ ...decode(header), kid: 'unknown' })}.${payload}.${signature}`,
    'is of another type': await signed({ alg, kid, typ: 'JWT' }, { ...withoutExp, exp }),
    'has no end': await signed({ alg, kid, typ: 'at+jwt' }, withoutExp),
    'is none at all': 'nonsense',
  };
  return { service, issuer, good, claims: decode(payload), bad, control: await issue({}) };
}
