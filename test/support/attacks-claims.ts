/** Claims that are missing, mistyped, foreign or of another time, in tokens whose signature is right. */
import { ACCEPTED, type Attacks, rowsWith } from './attacks-rows.js';
import type { Forge } from './forge.js';

export function claimAttacks(forge: Forge): Attacks {
  const { claims, token } = forge;
  const { each, claims: said } = rowsWith(forge);
  const [h, , s] = token().split('.');
  const issuer = String(claims.iss);
  const now = Number(claims.iat);
  const beyondNumbers = (name: string) =>
    JSON.stringify({ ...claims, [name]: 0 }).replace(`"${name}":0`, `"${name}":1e999`);
  return {
    'exp, iat, jti, sub, iss and aud must be there': ['exp', 'iat', 'jti', 'sub', 'iss', 'aud'].flatMap((name) =>
      said('token_malformed', name, [undefined, null]),
    ),
    'times are numbers': ['exp', 'iat', 'nbf'].flatMap((name) => [
      ...said('token_malformed', name, [String(now), true, [now], {}]),
      ...each('token_malformed', [[`${name} beyond all numbers`, { claimsBytes: beyondNumbers(name) }]]),
    ]),
    'names are strings': [
      ...['jti', 'sub', 'iss'].flatMap((name) => said('token_malformed', name, [7, true, ['x'], {}])),
      ...['sid', 'client_id', 'scope'].flatMap((name) => said('token_malformed', name, [7, null, ['x'], {}])),
    ],
    'an audience is a string or a list of strings, and not an empty one': [
      ...said('token_malformed', 'aud', [7, true, {}, [], '', [''], ['api', 7], [['api']], [null]]),
      ...said(ACCEPTED, 'aud', ['api', ['api'], ['other', 'api']]),
    ],
    'the issuer is this one, to the letter': said('invalid_issuer', 'iss', [
      'https://elsewhere.example',
      `${issuer}/`,
      issuer.toUpperCase(),
      `${issuer}.evil.example`,
      ` ${issuer}`,
      '',
    ]),
    'a token works from its nbf and its iat on, five seconds early': [
      ...['nbf', 'iat'].flatMap((name) => [
        ...said(ACCEPTED, name, [0, now - 100, now, now + 4, now + 5]),
        ...said('token_not_yet_valid', name, [now + 6, now + 900, Number.MAX_VALUE]),
      ]),
      // RFC 9068 does not ask for it.
      ...said(ACCEPTED, 'nbf', [undefined]),
    ],
    'a token works until its exp, five seconds late': [
      ...said(ACCEPTED, 'exp', [now - 4, now, now + 1, now + 86_400, now - 4.5]),
      ...said('token_expired', 'exp', [now - 5, now - 5.5, now - 6, 0, -1]),
    ],
    'claims that were changed after the signature do not pass': Object.entries({
      sub: 'somebody-else',
      roles: ['admin'],
      scope: 'everything',
      exp: now + 1e9,
      aud: 'keyturn-admin',
    }).flatMap(([name, value]) => {
      const changed = Buffer.from(JSON.stringify({ ...claims, [name]: value })).toString('base64url');
      return each('invalid_signature', [[name, `${h}.${changed}.${s}`]]);
    }),
    'the signature is checked before the claims, so that a stranger learns nothing of them': each('invalid_signature', [
      ['nothing is right', { claims: { iss: 'x', aud: 'x', exp: 0 }, signer: () => new Uint8Array(256) }],
      ['no claims', { claimsBytes: '{}', signer: () => new Uint8Array(256) }],
    ]),
  };
}
