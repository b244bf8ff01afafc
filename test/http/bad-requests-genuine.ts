/** For every operation of the document a request that would be carried out, as far as one is known. */

import { AT_THE_CONSOLE, adminTokens } from '../support/administrator.js';
import { oauthOf } from '../support/oauth.js';
import type { TestService } from '../support/service.js';
import { PASSWORD } from '../support/service.js';
import type { Members } from './bad-json.js';
import { contentOf, type Document, FORM_TYPE, type Genuine, type Headers, type Operation } from './bad-requests.js';
import { adminRequests, type Part } from './bad-requests-admin.js';

const notEmails = [
  ...[
    'ada',
    '@@@',
    'ada@',
    '@example.com',
    'a b@example.com',
    'a@b@c',
    'a@b\0',
    'a@\u202eb',
    'ada@example.com\u200b',
    '   ',
  ],
  ...[`${'x'.repeat(65)}@example.com`, `a@${'b'.repeat(253)}`, 'a\n@b', 'a@b\ud7ff\u0007'],
];
const basic = (pair: string): Headers => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });
const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` });
const part = (text: string): string => Buffer.from(text).toString('base64url');

/** What a bearer check must refuse, made from a token that it takes. */
function badBearers(token: string, refreshToken: string): Headers[] {
  const [header = '', claims = '', signature = ''] = token.split('.');
  const kid: string = JSON.parse(Buffer.from(header, 'base64url').toString()).kid;
  const headed = (fields: object) =>
    `${part(JSON.stringify({ typ: 'at+jwt', alg: 'RS256', kid, ...fields }))}.${claims}.${signature}`;
  const values = [
    ...['', 'Bearer', 'Bearer ', 'bearer  ', 'Basic', `Token ${token}`, `Bearer:${token}`, `Bearer\t${token}`, token],
    ...[
      `Bearer ${token} x`,
      `Bearer ${token},${token}`,
      `Bearer "${token}"`,
      `Bearer Bearer ${token}`,
      `Bearer ${token}\u00e9`,
    ],
  ];
  const tokens = [
    ...[
      '.',
      '..',
      '...',
      `${token}.`,
      `.${token}`,
      `${token}=`,
      `${header}.${claims}`,
      `${header}.${claims}.`,
      refreshToken,
    ],
    ...[
      `${header}..${signature}`,
      `${header}.${claims}.${signature.slice(1)}`,
      `${header}.${claims}.${signature.slice(0, -4)}`,
    ],
    ...[
      `${header}.${part('{"sub":"x"}')}.${signature}`,
      `${header}.${part('[]')}.${signature}`,
      `${header}.x.${signature}`,
    ],
    ...[{ alg: 'none' }, { alg: 'HS256' }, { alg: 'ES256' }, { alg: 1 }, { kid: '\0' }, { kid: 1 }, { kid: 'x' }].map(
      headed,
    ),
    ...[
      { typ: 'JWT' },
      { typ: null },
      { crit: ['b64'] },
      { b64: false },
      { zip: 'DEF' },
      { jku: 'http://x.invalid/' },
    ].map(headed),
    ...[
      `${part('{"alg":"RS256","alg":"none"}')}.${claims}.${signature}`,
      'x'.repeat(10_000),
      `${token}${'A'.repeat(8000)}`,
    ],
  ];
  return [...values.map((authorization) => ({ authorization })), ...tokens.map(bearer)];
}

export async function genuineRequests(
  service: TestService,
  document: Document,
): Promise<{ genuine: Genuine[]; secrets: string[] }> {
  await service.register();
  const oauth = oauthOf(service);
  const [mine, other] = [await service.login(), await service.login()];
  const { secret } = await service.services.clients.create({
    clientId: 'svc',
    name: 'A service',
    type: 'confidential',
    audiences: ['api'],
    scopes: ['read'],
  });
  if (secret === null) throw new Error('a confidential client has a secret');
  const feed = await oauth.confidential('feed', { scopes: ['revocations:read'] });
  const feedToken = await oauth.tokenOf(feed.basic);
  const ofFeed = {
    headers: bearer(feedToken),
    wrongHeaders: [...badBearers(feedToken, mine.refresh_token), bearer(mine.access_token)],
  };
  const admin = await adminTokens(service);
  const [signing] = await service.services.signingKeys.list();
  const { endpoint: webhook, secret: webhookSecret } = await service.services.administration.webhooks.create(
    { url: 'https://siem.example.com/', events: ['*'], description: null },
    AT_THE_CONSOLE,
  );
  const target = await service.register('target@example.com');
  const invented = [
    ...[
      'x',
      'ktr_',
      'ktr_AAAA',
      mine.refresh_token.slice(0, -1),
      `${mine.refresh_token}A`,
      mine.refresh_token.toUpperCase(),
    ],
    ...[
      mine.refresh_token.replace('ktr_', 'ktr-'),
      `ktr_${'A'.repeat(91)}`,
      `ktr_${'A'.repeat(90)}Q`,
      mine.access_token.slice(0, 1024),
    ],
    mine.refresh_token.slice(0, 40) + mine.refresh_token.slice(40).split('').reverse().join(''),
  ];
  const refreshToken = { refresh_token: mine.refresh_token };

  const known: Record<string, Part[]> = {
    'post /v1/users': [
      {
        members: { email: 'grace@example.com', password: 'an unused pass phrase' },
        wrong: {
          email: [...notEmails, 'ada@example.com', ' ADA@Example.COM '],
          password: ['short', 'l'.repeat(129), 'my grace@example.com', '1234567'],
        },
      },
    ],
    'post /v1/login': [
      {
        members: { email: 'ada@example.com', password: PASSWORD, device_name: 'Phone' },
        wrong: {
          email: notEmails,
          client_id: ['nobody', 'Default', 'svc', '__proto__'],
          audience: ['other', 'API', 'keyturn-admin', 'http://127.0.0.1:3000'],
          scope: ['admin', 'read write', 'openid'],
        },
      },
    ],
    'post /v1/me/password': [
      {
        members: { current_password: PASSWORD, new_password: 'another long pass phrase' },
        wrong: {
          current_password: ['a wrong guess', PASSWORD.toUpperCase()],
          new_password: ['short', 'l'.repeat(129)],
        },
      },
    ],
    ...adminRequests(notEmails, signing?.kid ?? '', webhook.id),
    'post /v1/refresh': [{ members: refreshToken, wrong: { refresh_token: invented } }],
    // Without a body it is the bearer token that says which session ends; with one there must be none.
    'post /v1/logout': [
      { headers: bearer(mine.access_token), wrongHeaders: badBearers(mine.access_token, mine.refresh_token) },
      { headers: {}, members: refreshToken },
    ],
    'get /v1/authorize': [{ takesAnyMethod: true }],
    'get /v1/revocations': [ofFeed],
    'get /v1/revocations/stream': [
      {
        ...ofFeed,
        wrongHeaders: [
          ...ofFeed.wrongHeaders,
          ...['', 'x', 'cjE6', 'cjE6OTk5OTk5OTk5OTk5OTk5OQ', 'y'.repeat(5000)].map((id) => ({ 'last-event-id': id })),
        ],
      },
    ],
    'post /oauth/revoke': [
      {
        members: { token: mine.refresh_token, client_id: 'default' },
        wrongForms: [
          ...['nobody', 'svc', 'DEFAULT', ''].map((id) => ({ client_id: id })),
          ...[{ client_secret: 'a guessed secret' }, { token: '' }],
        ],
      },
    ],
    'post /oauth/introspect': [
      {
        headers: basic(`svc:${secret}`),
        members: { token: mine.access_token },
        wrongForms: [{ token: '' }, { client_id: 'default' }, { client_secret: secret }],
        wrongHeaders: ['svc', `:${secret}`, `svc:${secret}x`, 'default:', `SVC:${secret}`, `feed:${secret}`]
          .map(basic)
          .concat([{ authorization: 'Basic' }, bearer(mine.access_token)]),
      },
    ],
    'post /oauth/token': [
      {
        members: { grant_type: 'refresh_token', ...refreshToken, client_id: 'default' },
        wrongForms: [
          ...invented.map((token) => ({ refresh_token: token })),
          ...['', 'password', 'REFRESH_TOKEN', 'authorization_code', '\0', '__proto__'].map((type) => ({
            grant_type: type,
          })),
          ...['keyturn-admin', 'svc', 'nobody'].map((id) => ({ client_id: id })),
          ...[
            { refresh_token: '' },
            { client_secret: 'a guessed secret' },
            { client_id: '', client_secret: 'a guessed secret' },
          ],
        ],
      },
      {
        headers: basic(`svc:${secret}`),
        members: { grant_type: 'client_credentials' },
        wrongForms: [
          ...['', 'password', 'implicit', 'urn:ietf:params:oauth:grant-type:jwt-bearer'].map((type) => ({
            grant_type: type,
          })),
          ...[{ audience: 'other' }, { resource: 'other' }, { audience: 'api', resource: 'other' }, { scope: 'write' }],
          ...[{ client_secret: secret }, { client_id: 'default' }, { client_id: 'svc', client_secret: secret }],
        ],
        wrongHeaders: [
          ...[
            'svc',
            `:${secret}`,
            `svc:${secret}x`,
            `svc: ${secret}`,
            `svc%:${secret}`,
            `svc%zz:${secret}`,
            `%00:${secret}`,
          ],
          ...[
            `svc\0:${secret}`,
            `svc:%ff${secret}`,
            `SVC:${secret}`,
            `default:${secret}`,
            'default:',
            'svc:',
            `s\u00e9:${secret}`,
          ],
          ...[`${'x'.repeat(5000)}:${secret}`, `%ed%a0%80:${secret}`, `svc ${secret}`, `svc%20:${secret}`],
        ]
          .map(basic)
          .concat([
            { authorization: '' },
            { authorization: 'Basic' },
            { authorization: 'Basic %%%' },
            bearer(mine.access_token),
          ]),
      },
    ],
  };

  const complete = (path: string, method: string, operation: Operation, given: Part): Genuine => {
    const needsBearer = operation.security?.length === 1 && operation.security[0]?.bearer !== undefined;
    const type = contentOf(operation)?.[0];
    const isAdmin = path.startsWith('/v1/admin/');
    const tokens = isAdmin ? admin : mine;
    return {
      path,
      method: method.toUpperCase(),
      operation,
      url: path.replace('{id}', isAdmin ? target : other.session_id).replaceAll(/\{\w+\}/g, '-'),
      headers: needsBearer ? bearer(tokens.access_token) : {},
      ...(needsBearer
        ? {
            wrongHeaders: [
              ...badBearers(tokens.access_token, tokens.refresh_token),
              ...(isAdmin ? [bearer(mine.access_token)] : []),
            ],
          }
        : {}),
      // Nothing better is known: what the schema rules out must be refused all the same.
      ...(type === undefined || given.headers ? {} : { members: type === FORM_TYPE ? { x: 'y' } : ({} as Members) }),
      ...given,
    };
  };
  const genuine = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      (known[`${method} ${path}`] ?? [{}]).map((given) => complete(path, method, operation, given)),
    ),
  );
  const tokens = [mine.access_token, mine.refresh_token, other.refresh_token, admin.access_token, admin.refresh_token];
  return { genuine, secrets: [...tokens, feedToken, PASSWORD, secret, feed.secret, webhookSecret] };
}
