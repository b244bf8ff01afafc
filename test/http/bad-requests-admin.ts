/** Requests of administration that would be carried out, and the values that make each be refused. */
import { generateKeyPairSync } from 'node:crypto';
import type { Genuine } from './bad-requests.js';

/** What is known of an operation; the rest follows from the document. */
export type Part = Partial<Omit<Genuine, 'path' | 'method' | 'operation'>>;

export function adminRequests(notEmails: readonly string[], kid: string, webhook: string): Record<string, Part[]> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const oneKey = `/v1/admin/keys/${kid}`;
  const oneWebhook = `/v1/admin/webhooks/${webhook}`;
  const badWebhook = {
    url: ['', 'x', 'http://siem.example.com/', 'https://u:p@x.example/', 'https://10.0.0.1/', 'https://x.example/ y'],
    events: [[], ['**'], ['login'], ['login.*', 'login.*'], ['Login.failed'], [''], ['a.b.c']],
    description: ['', 'a\0b', 'd'.repeat(201)],
  };
  const badList = ['two words', 'a"b', 'n'.repeat(300)].map((entry) => [entry]).concat([['twice', 'twice']]);
  const badClient = {
    name: ['', 'a\0b', 'n'.repeat(201)],
    audiences: [[], ['a b'], ['x', 'x']],
    scopes: badList,
    required_roles: badList,
    grants: [['implicit'], ['client_credentials'], ['password', 'password']],
    access_token_ttl: [0, -1, 1.5, 86_401],
    idle_ttl: [0, 91 * 86_400, 1e12],
    absolute_ttl: [0, 60, 1e12],
    token_delivery: ['cookie'],
    renew_after: [-1, 1e9],
    cors_origins: [['https://x.example/'], ['*'], ['null'], ['https://x.example:443']],
  };
  return {
    'post /v1/admin/users': [
      {
        members: { email: 'new@example.com', password: 'an unused pass phrase', roles: ['support'] },
        wrong: { email: [...notEmails, 'ada@example.com'], password: ['short', 'my new@example.com'], roles: badList },
      },
    ],
    'put /v1/admin/users/{id}/roles': [{ members: { roles: ['support'] }, wrong: { roles: badList } }],
    'put /v1/admin/users/{id}/password': [
      { members: { password: 'an unused pass phrase' }, wrong: { password: ['short', 'target@example.com'] } },
    ],
    'post /v1/admin/clients': [
      {
        members: { client_id: 'another', type: 'public', audiences: ['api'] },
        wrong: {
          ...badClient,
          client_id: ['svc', '.', '..', 'a b', 'c'.repeat(129), '01970000-0000-7000-8000-000000000001'],
          type: ['secret'],
        },
      },
    ],
    'patch /v1/admin/clients/{client_id}': [
      { url: '/v1/admin/clients/default', members: { name: 'Default' }, wrong: badClient },
    ],
    'get /v1/admin/clients/{client_id}': [{ url: '/v1/admin/clients/svc' }],
    'post /v1/admin/keys': [
      {
        members: { pem, alg: 'ES256' },
        wrong: {
          pem: ['not PEM', pem.slice(0, 100), publicKey.export({ type: 'spki', format: 'pem' }), 'k'.repeat(8193)],
          alg: ['HS256', 'none', 'RS256', 'es256'],
        },
      },
    ],
    'post /v1/admin/revocations': [
      {
        members: { kind: 'sid', value: '01970000-0000-7000-8000-000000000001' },
        wrong: { kind: ['', 'SID', 'user', 'all', 'token'], value: ['x', 'urn:uuid:x', '1'.repeat(36)] },
      },
      {
        members: { kind: 'jti', value: 'not-yet-revoked' },
        wrong: { kind: ['sid', 'sub', 'all'], value: ['a b', 'a.b.c', '..', 'x'.repeat(129), 'y'.repeat(8193)] },
      },
    ],
    'post /v1/admin/webhooks': [
      { members: { url: 'https://siem.example.com/', events: ['login.*'] }, wrong: badWebhook },
    ],
    'get /v1/admin/webhooks/{id}': [{ url: oneWebhook }],
    'patch /v1/admin/webhooks/{id}': [
      { url: oneWebhook, members: { disabled: true }, wrong: { ...badWebhook, disabled: ['true', 1, null] } },
    ],
    'delete /v1/admin/webhooks/{id}': [{ url: oneWebhook }],
    'post /v1/admin/webhooks/{id}/secret': [{ url: `${oneWebhook}/secret` }],
    'post /v1/admin/webhooks/{id}/test': [{ url: `${oneWebhook}/test` }],
    'get /v1/admin/webhooks/{id}/deliveries': [{ url: `${oneWebhook}/deliveries` }],
    'post /v1/admin/webhooks/{id}/retries': [
      {
        url: `${oneWebhook}/retries`,
        members: { delivery_id: '01970000-0000-7000-8000-000000000001' },
        wrong: { delivery_id: ['x', 'urn:uuid:x', 1] },
      },
    ],
    'post /v1/admin/keys/{kid}/promote': [{ url: `${oneKey}/promote` }],
    'post /v1/admin/keys/{kid}/revoke': [
      { url: `${oneKey}/revoke`, members: { compromised: true }, wrong: { compromised: ['true', 1, null] } },
    ],
  };
}
