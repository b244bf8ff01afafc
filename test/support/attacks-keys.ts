/** Tokens that choose their algorithm or their key, or bring one. */
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { ACCEPTED, type Attack, type Attacks, type Row, rowsWith } from './attacks-rows.js';
import { type Forge, ps256, rs256, type Signer } from './forge.js';

const unsigned: Signer = () => new Uint8Array();
const hs256 =
  (secret: string | Buffer): Signer =>
  (input) =>
    createHmac('sha256', secret).update(input).digest();

export function keyAttacks(forge: Forge, trapUrl: string): Attacks {
  const { kid, publicJwk } = forge;
  const { each, headers } = rowsWith(forge);
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const strangerJwk = stranger.publicKey.export({ format: 'jwk' });
  return {
    'the token does not choose the algorithm': algorithms(forge),
    'a token brings no key and no rules of its own': [
      ...Object.entries({
        jwk: [strangerJwk, publicJwk, null],
        jku: [trapUrl, '', null],
        x5u: [trapUrl],
        x5c: [['MIIB'], []],
        crit: [['exp'], ['b64'], [], null],
        b64: [true, false],
        zip: ['DEF', 'NONE'],
      }).flatMap(([name, values]) => [
        ...headers('token_malformed', name, values),
        ...headers('token_malformed', name, values, { signer: rs256(stranger.privateKey) }),
      ]),
      ...each('token_malformed', [['b64 false that is critical', { header: { b64: false, crit: ['b64'] } }]]),
      ...headers(ACCEPTED, 'x', ['unknown, and of no effect']),
    ],
    'a kid is looked up among the published keys, and nowhere else': [
      ...headers('unknown_key', 'kid', [
        '',
        'unknown',
        '../../../../dev/null',
        '/etc/passwd',
        'file:///dev/null',
        trapUrl,
        `' OR '1'='1`,
        `${kid}' --`,
        `${kid}'; DROP TABLE signing_keys; --`,
        `${kid}\u0000`,
        ` ${kid}`,
        kid.toLowerCase(),
        '__proto__',
        'constructor',
        'x'.repeat(2000),
      ]),
      ...headers('token_malformed', 'kid', [undefined, null, 7, [kid], { $ne: '' }]),
      ...headers('unknown_key', 'kid', ['theirs'], { signer: rs256(stranger.privateKey) }),
      ...headers('invalid_signature', 'kid', [kid], { signer: rs256(stranger.privateKey) }),
    ],
    'only an access token is an access token': [
      ...headers('token_malformed', 'typ', [
        undefined,
        null,
        7,
        ['at+jwt'],
        'JWT',
        'jwt',
        '',
        'at+jwt ',
        'at-jwt',
        'x/at+jwt',
        'application/application/at+jwt',
        'at+jwt; a=b',
        'dpop+jwt',
      ]),
      ...headers(ACCEPTED, 'typ', ['at+jwt', 'AT+JWT', 'At+Jwt', 'application/at+jwt', 'Application/AT+JWT']),
    ],
  };
}

function algorithms(forge: Forge): Attack[] {
  const { kid, publicJwk, privateKey } = forge;
  const { each, headers } = rowsWith(forge);
  const key = createPublicKey(privateKey);
  const spki = key.export({ type: 'spki', format: 'pem' }).toString();
  const pkcs1 = key.export({ type: 'pkcs1', format: 'pem' }).toString();
  const modulus = String(publicJwk.n);
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const es256: Signer = (input) => sign('sha256', input, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' });
  const secrets: Record<string, string | Buffer> = {
    'the public key as PEM': spki,
    'the trimmed PEM': spki.trim(),
    'the PEM of PKCS #1': pkcs1,
    'the DER': key.export({ type: 'spki', format: 'der' }),
    'the DER of PKCS #1': key.export({ type: 'pkcs1', format: 'der' }),
    'the modulus as text': modulus,
    'the modulus': Buffer.from(modulus, 'base64url'),
    'the JWK': JSON.stringify(publicJwk),
    'the kid': kid,
    nothing: '',
  };
  return [
    ...each('unsupported_algorithm', [
      ...['none', 'None', 'NONE', 'nOnE', 'none ', ''].flatMap((alg): Row[] => [
        [`alg ${JSON.stringify(alg)} without a signature`, { header: { alg }, signer: unsigned }],
        [`alg ${JSON.stringify(alg)} with a signature`, { header: { alg } }],
      ]),
      ...Object.entries(secrets).map(
        ([name, secret]): Row => [`HS256 with ${name}`, { header: { alg: 'HS256' }, signer: hs256(secret) }],
      ),
      ['PS256 with an RS256 key', { header: { alg: 'PS256' }, signer: ps256(privateKey) }],
      ['ES256 with the kid of an RSA key', { header: { alg: 'ES256' }, signer: es256 }],
      ['ES256 with a signature of zeroes', { header: { alg: 'ES256' }, signer: () => new Uint8Array(64) }],
      ['EdDSA with the kid of an RSA key', { header: { alg: 'EdDSA' } }],
      ['RS512', { header: { alg: 'RS512' }, signer: (input) => sign('sha512', input, privateKey) }],
      ['RS1', { header: { alg: 'RS1' }, signer: (input) => sign('sha1', input, privateKey) }],
      ['rs256', { header: { alg: 'rs256' } }],
    ]),
    ...headers('token_malformed', 'alg', [undefined, null, 7, true, ['RS256'], { alg: 'RS256' }]),
    ...each('invalid_signature', [
      ['RS256 signed as PS256', { signer: ps256(privateKey) }],
      ['RS256 signed with SHA-512', { signer: (input) => sign('sha512', input, privateKey) }],
      ['RS256 with an HMAC of the public key', { signer: hs256(spki) }],
    ]),
  ];
}
