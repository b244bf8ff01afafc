/** Forged headers, spellings, algorithms and keys (RFC 8725): every one has its code, and none gets in. */
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { isBearerRefusal } from '../support/answers.js';
import {
  createForge,
  jsonWithStrayBits,
  type Parts,
  ps256,
  rs256,
  type Signer,
  withStrayBits,
} from '../support/forge.js';
import { startService, testKeks } from '../support/service.js';

const keks = testKeks();
const service = await startService(t, { keks });
await service.register();
const { access_token: genuine } = await service.login();
const forge = await createForge(service, keks, genuine);
const { header, claims, token } = forge;
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
const strangerJwk = stranger.publicKey.export({ format: 'jwk' });
const unsigned: Signer = () => new Uint8Array();

const refused = async (t: Test, name: string, bearer: string, code: string) =>
  isBearerRefusal(t, await service.get('/v1/me', bearer), code, name);
type Row = readonly [name: string, parts: Parts];

async function eachIs(t: Test, code: string, rows: readonly Row[]): Promise<void> {
  for (const [name, parts] of rows) await refused(t, name, token(parts), code);
}

t.test('a token has three parts, and no more than 8192 characters', async (t) => {
  const [h, c, s] = genuine.split('.');
  const wrong = {
    'one part': `${h}`,
    'two parts': `${h}.${c}`,
    'four parts': `${genuine}.${s}`,
    'an empty fourth part': `${genuine}.`,
    'five parts, as a JWE has': `${h}..${c}.${s}.${s}`,
    'no header': `.${c}.${s}`,
    'no claims': `${h}..${s}`,
    'only dots': '..',
    'all parts run together': `${h}${c}${s}`,
  };
  for (const [name, bearer] of Object.entries(wrong)) await refused(t, name, bearer, 'token_malformed');
  await refused(t, 'too long', token({ claims: { padding: 'x'.repeat(8192) } }), 'token_malformed');
  t.equal((await service.get('/v1/me', token({ claims: { padding: 'x'.repeat(4096) } }))).statusCode, 200);
});

t.test('a signature may not be missing, short or long', async (t) => {
  const [h, c, s] = genuine.split('.');
  await refused(t, 'no signature', `${h}.${c}.`, 'invalid_signature');
  await refused(t, 'short', `${h}.${c}.${s?.slice(0, -2)}`, 'invalid_signature');
  await refused(t, 'long', `${h}.${c}.${s?.slice(0, -2)}AAAA`, 'invalid_signature');
});

t.test('base64url has one spelling', async (t) => {
  const stray = { headerBytes: jsonWithStrayBits(header), claimsBytes: jsonWithStrayBits(claims) };
  t.equal((await service.get('/v1/me', token(stray))).statusCode, 200, 'blanks inside the JSON are no fault');
  const standard = Buffer.from(JSON.stringify({ ...claims, x: '~~~???>>>' })).toString('base64');
  t.match(standard, /[+/]/);
  await eachIs(t, 'token_malformed', [
    ['padding after the header', { spell: { header: (part) => `${part}=` } }],
    ['padding after the claims', { spell: { claims: (part) => `${part}==` } }],
    ['padding after the signature', { spell: { signature: (part) => `${part}==` } }],
    ['stray bits in the header', { ...stray, spell: { header: withStrayBits } }],
    ['stray bits in the claims', { ...stray, spell: { claims: withStrayBits } }],
    ['stray bits in the signature', { spell: { signature: withStrayBits } }],
    [
      'a lone character',
      { headerBytes: `${JSON.stringify(header).padEnd(99)}`, spell: { header: (part) => `${part}A` } },
    ],
    ['the other alphabet', { spell: { claims: () => standard.replace(/=+$/, '') } }],
    ['foreign characters in the header', { spell: { header: (part) => `~${part}` } }],
    ['foreign characters in the signature', { spell: { signature: (part) => `${part}~` } }],
  ]);
});

t.test('the JSON of header and claims can be read in one way only', async (t) => {
  const doubled = (value: object, member: string) => JSON.stringify(value).replace(/}$/, `,${member}}`);
  const notUtf8 = (value: object) => Buffer.from(doubled(value, '"x":"\u00ff"'), 'latin1');
  const withBom = (value: object) => Buffer.from(`\ufeff${JSON.stringify(value)}`);
  await eachIs(t, 'token_malformed', [
    ['a doubled alg', { headerBytes: doubled(header, '"alg":"RS256"') }],
    ['a doubled kid in other letters', { headerBytes: doubled(header, `"\\u006bid":"${forge.kid}"`) }],
    ['a doubled sub', { claimsBytes: doubled(claims, '"sub":"somebody"') }],
    ['a doubled member in an inner object', { claimsBytes: doubled(claims, '"x":{"a":1,"a":2}') }],
    ['a header that is not UTF-8', { headerBytes: notUtf8(header) }],
    ['claims that are not UTF-8', { claimsBytes: notUtf8(claims) }],
    ['half a character', { claimsBytes: doubled(claims, '"x":"\\ud800"') }],
    ['a byte order mark', { headerBytes: withBom(header) }],
    ['a byte order mark before the claims', { claimsBytes: withBom(claims) }],
    ['deep claims', { claimsBytes: doubled(claims, `"x":${'['.repeat(16)}${']'.repeat(16)}`) }],
    ['very deep claims', { claimsBytes: '['.repeat(2500) + ']'.repeat(2500) }],
    ['a deep header', { headerBytes: doubled(header, `"x":${'{"x":'.repeat(50)}1${'}'.repeat(50)}`) }],
    ['no JSON', { headerBytes: 'alg=RS256' }],
    ['something after the JSON', { claimsBytes: `${JSON.stringify(claims)}x` }],
    ['a comment', { claimsBytes: `${JSON.stringify(claims)}/**/` }],
    ...['null', '"text"', '[]', '7', 'true', '{}'].map((text): Row => [`the header ${text}`, { headerBytes: text }]),
    ...['null', '"text"', '[]', '7', 'true', '{}'].map((text): Row => [`the claims ${text}`, { claimsBytes: text }]),
  ]);
});

t.test('the token does not choose the algorithm', async (t) => {
  const pem = createPublicKey(forge.privateKey).export({ type: 'spki', format: 'pem' });
  const hs256 =
    (secret: string | Buffer): Signer =>
    (input) =>
      createHmac('sha256', secret).update(input).digest();
  const modulus = String(forge.publicJwk.n);
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const es256: Signer = (input) => sign('sha256', input, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' });
  const none = ['none', 'None', 'NONE', 'nOnE', 'none ', ''].flatMap((alg): Row[] => [
    [`alg ${JSON.stringify(alg)} without a signature`, { header: { alg }, signer: unsigned }],
    [`alg ${JSON.stringify(alg)} with a signature`, { header: { alg } }],
  ]);
  await eachIs(t, 'unsupported_algorithm', [
    ...none,
    ['HS256 with the public key as PEM', { header: { alg: 'HS256' }, signer: hs256(String(pem)) }],
    ['HS256 with the trimmed PEM', { header: { alg: 'HS256' }, signer: hs256(String(pem).trim()) }],
    ['HS256 with the modulus as text', { header: { alg: 'HS256' }, signer: hs256(modulus) }],
    ['HS256 with the modulus', { header: { alg: 'HS256' }, signer: hs256(Buffer.from(modulus, 'base64url')) }],
    ['HS256 with the JWK', { header: { alg: 'HS256' }, signer: hs256(JSON.stringify(forge.publicJwk)) }],
    ['HS256 with nothing', { header: { alg: 'HS256' }, signer: hs256('') }],
    ['PS256 with an RS256 key', { header: { alg: 'PS256' }, signer: ps256(forge.privateKey) }],
    ['ES256 with the kid of an RSA key', { header: { alg: 'ES256' }, signer: es256 }],
    ['ES256 with a signature of zeroes', { header: { alg: 'ES256' }, signer: () => new Uint8Array(64) }],
    ['EdDSA with the kid of an RSA key', { header: { alg: 'EdDSA' } }],
    ['RS512', { header: { alg: 'RS512' }, signer: (input) => sign('sha512', input, forge.privateKey) }],
    ['RS1', { header: { alg: 'RS1' }, signer: (input) => sign('sha1', input, forge.privateKey) }],
    ['rs256', { header: { alg: 'rs256' } }],
  ]);
  await eachIs(
    t,
    'token_malformed',
    [undefined, null, 7, true, ['RS256'], { alg: 'RS256' }].map((alg) => [
      `alg ${JSON.stringify(alg)}`,
      { header: { alg } },
    ]),
  );
  const pss = { signer: ps256(forge.privateKey) };
  await eachIs(t, 'invalid_signature', [
    ['RS256 signed as PS256', pss],
    ['RS256 signed with SHA-512', { signer: (input) => sign('sha512', input, forge.privateKey) }],
  ]);
});

t.test('a token brings no key and no rules of its own, and nothing is fetched for it', async (t) => {
  let fetched = 0;
  const server = createServer((_request, response) => {
    fetched++;
    response.end(JSON.stringify({ keys: [{ ...strangerJwk, kid: forge.kid, alg: 'RS256' }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  const extra: Record<string, unknown[]> = {
    jwk: [strangerJwk, forge.publicJwk, null],
    jku: [url, '', null],
    x5u: [url],
    x5c: [['MIIB'], []],
    crit: [['exp'], ['b64'], [], null],
    b64: [true, false],
    zip: ['DEF', 'NONE'],
  };
  const rows = Object.entries(extra).flatMap(([name, values]) =>
    values.flatMap((value): Row[] => [
      [`${name} ${JSON.stringify(value)}`, { header: { [name]: value } }],
      [
        `${name} ${JSON.stringify(value)} of a stranger`,
        { header: { [name]: value }, signer: rs256(stranger.privateKey) },
      ],
    ]),
  );
  await eachIs(t, 'token_malformed', rows);
  t.equal(fetched, 0);
  t.equal((await service.get('/v1/me', token({ header: { x: 'unknown, and of no effect' } }))).statusCode, 200);
});

t.test('a kid is looked up among the published keys, and nowhere else', async (t) => {
  const kids = [
    '',
    'unknown',
    '../../../../dev/null',
    '/etc/passwd',
    'file:///dev/null',
    `' OR '1'='1`,
    `${forge.kid}' --`,
    `${forge.kid}\u0000`,
    ` ${forge.kid}`,
    forge.kid.toLowerCase(),
    '__proto__',
    'constructor',
    'x'.repeat(2000),
  ];
  await eachIs(
    t,
    'unknown_key',
    kids.map((kid): Row => [`kid ${kid.slice(0, 30)}`, { header: { kid } }]),
  );
  await eachIs(
    t,
    'token_malformed',
    [undefined, null, 7, [forge.kid], { $ne: '' }].map(
      (kid): Row => [`kid ${JSON.stringify(kid)}`, { header: { kid } }],
    ),
  );
  const signer = rs256(stranger.privateKey);
  await eachIs(t, 'unknown_key', [['a stranger’s key under its own name', { header: { kid: 'theirs' }, signer }]]);
  await eachIs(t, 'invalid_signature', [['a stranger’s key under the name of ours', { signer }]]);
});

t.test('only an access token is an access token', async (t) => {
  const wrong = [
    'JWT',
    'jwt',
    '',
    'at+jwt ',
    'at-jwt',
    'x/at+jwt',
    'application/application/at+jwt',
    'at+jwt; a=b',
    'dpop+jwt',
  ];
  await eachIs(
    t,
    'token_malformed',
    [undefined, null, 7, ['at+jwt'], ...wrong].map((typ): Row => [`typ ${JSON.stringify(typ)}`, { header: { typ } }]),
  );
  for (const typ of ['at+jwt', 'AT+JWT', 'At+Jwt', 'application/at+jwt', 'Application/AT+JWT']) {
    t.equal((await service.get('/v1/me', token({ header: { typ } }))).statusCode, 200, typ);
  }
});
