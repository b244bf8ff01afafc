/** The line of a request says who it was, once that has been proved, and what came of it. And never a token. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { adminTokens } from '../support/administrator.js';
import { createForge } from '../support/forge.js';
import { oauthOf } from '../support/oauth.js';
import { startService, testKeks } from '../support/service.js';

const keks = testKeks();
const service = await startService(t, { keks });
const { get, login, logs, post } = service;
const { send, confidential, tokenOf } = oauthOf(service);
await service.register();
const admin = await adminTokens(service);
const person = await login();
const reader = await confidential('reader', { scopes: ['revocations:read', 'read'] });
const own = await tokenOf(reader.basic);
const narrow = await tokenOf(reader.basic, { scope: 'read' });
const over = await login();
await post('/v1/logout', { refresh_token: over.refresh_token });
const forge = await createForge(service, keks, person.access_token);

const subjectOf = (token: string) => {
  const { sub, sid, jti, client_id } = decodeJwt(token) as Record<string, string | undefined>;
  return { sub, sid, jti, client_id };
};
const nobody = { sub: undefined, sid: undefined, jti: undefined, client_id: undefined };
const ofReader = { ...nobody, client_id: 'reader' };
const expired = forge.token({ claims: { exp: Number(forge.claims.iat) - 6 } });

const cases: Record<string, { ask: () => Promise<unknown>; subject: object; status: number; code?: string }> = {
  'a person': { ask: () => get('/v1/me', person.access_token), subject: subjectOf(person.access_token), status: 200 },
  'an administrator': {
    ask: () => get('/v1/admin/clients', admin.access_token),
    subject: subjectOf(admin.access_token),
    status: 200,
  },
  'a service with a token of its own': { ask: () => get('/v1/revocations', own), subject: subjectOf(own), status: 200 },
  'a service that would need a session': {
    ask: () => get('/v1/me', own),
    subject: subjectOf(own),
    status: 403,
    code: 'session_required',
  },
  'a service without the scope': {
    ask: () => get('/v1/revocations', narrow),
    subject: subjectOf(narrow),
    status: 403,
    code: 'insufficient_scope',
  },
  'a person without the scope, at the stream': {
    ask: () => get('/v1/revocations/stream', person.access_token),
    subject: subjectOf(person.access_token),
    status: 403,
    code: 'insufficient_scope',
  },
  'somebody whose session has ended': {
    ask: () => get('/v1/me', over.access_token),
    subject: subjectOf(over.access_token),
    status: 401,
    code: 'token_revoked',
  },
  'a service that asks about a token': {
    ask: () => send('/oauth/introspect', { token: person.access_token }, reader.basic),
    subject: ofReader,
    status: 200,
  },
  'an app that gives back what is not its own': {
    ask: () => send('/oauth/revoke', { token: person.access_token, client_id: 'keyturn-admin' }),
    subject: { ...nobody, client_id: 'keyturn-admin' },
    status: 200,
  },
  'a service that gets a token': {
    ask: () => send('/oauth/token', { grant_type: 'client_credentials' }, reader.basic),
    subject: ofReader,
    status: 200,
  },
  'a token that proves nothing': {
    ask: () => get('/v1/revocations', forge.token({ signer: () => new Uint8Array(256) })),
    subject: nobody,
    status: 401,
    code: 'invalid_signature',
  },
  'a token that has expired': {
    ask: () => get('/v1/me', expired),
    subject: nobody,
    status: 401,
    code: 'token_expired',
  },
};

for (const [who, { ask, subject, status, code }] of Object.entries(cases)) {
  t.test(`the line of ${who}`, async (t) => {
    const before = logs.length;
    await ask();
    const lines = logs.slice(before).filter(({ msg }) => msg === 'request');
    t.equal(lines.length, 1);
    const line: Record<string, unknown> = { ...lines[0] };
    const { sub, sid, jti, client_id } = line;
    t.same({ sub, sid, jti, client_id }, subject);
    t.match(line, { status, ip: '127.0.0.1', ...(code && { code }) });
    t.notMatch(JSON.stringify(line), /eyJ/);
  });
}
