/** Tokens whose parts are spelled or composed in ways that a lenient reader would forgive. */
import { ACCEPTED, type Attack, type Attacks, type Row, rowsWith } from './attacks-rows.js';
import { type Forge, jsonWithStrayBits, withStrayBits } from './forge.js';

const doubled = (value: object, member: string) => JSON.stringify(value).replace(/}$/, `,${member}}`);
const notUtf8 = (value: object) => Buffer.from(doubled(value, '"x":"\u00ff"'), 'latin1');
const withBom = (value: object) => Buffer.from(`\ufeff${JSON.stringify(value)}`);

export function formAttacks(forge: Forge): Attacks {
  const { header, claims, kid, token } = forge;
  const { each } = rowsWith(forge);
  const genuine = token();
  const [h = '', c = '', s = ''] = genuine.split('.');
  return {
    'a token has three parts, and no more than 8192 characters': [
      ...each('token_malformed', [
        ['one part', h],
        ['two parts', `${h}.${c}`],
        ['four parts', `${genuine}.${s}`],
        ['an empty fourth part', `${genuine}.`],
        ['five parts, as a JWE has', `${h}..${c}.${s}.${s}`],
        ['no header', `.${c}.${s}`],
        ['no claims', `${h}..${s}`],
        ['only dots', '..'],
        ['all parts run together', `${h}${c}${s}`],
        ['too long', { claims: { padding: 'x'.repeat(8192) } }],
        ['a part that is too long', `${h}.${c}.${'A'.repeat(9000)}`],
      ]),
      ...each(ACCEPTED, [['long', { claims: { padding: 'x'.repeat(4096) } }]]),
    ],
    'a signature may not be missing, short or long': each('invalid_signature', [
      ['no signature', `${h}.${c}.`],
      ['short', `${h}.${c}.${s.slice(0, -2)}`],
      ['long', `${h}.${c}.${s.slice(0, -2)}AAAA`],
    ]),
    'base64url has one spelling': spellings(forge),
    'the JSON of header and claims can be read in one way only': each('token_malformed', [
      ['a doubled alg', { headerBytes: doubled(header, '"alg":"RS256"') }],
      ['a doubled alg, none first', { headerBytes: `{"alg":"none",${JSON.stringify(header).slice(1)}` }],
      ['a doubled kid in other letters', { headerBytes: doubled(header, `"\\u006bid":"${kid}"`) }],
      ['a doubled sub', { claimsBytes: doubled(claims, '"sub":"somebody"') }],
      ['a doubled exp', { claimsBytes: doubled(claims, '"exp":9999999999') }],
      ['a doubled member in an inner object', { claimsBytes: doubled(claims, '"x":{"a":1,"a":2}') }],
      ['a doubled __proto__', { claimsBytes: doubled(claims, '"__proto__":1,"__proto__":2') }],
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
      ...['null', '"text"', '[]', '7', 'true', '{}'].flatMap((text): Row[] => [
        [`the header ${text}`, { headerBytes: text }],
        [`the claims ${text}`, { claimsBytes: text }],
      ]),
    ]),
  };
}

function spellings(forge: Forge): Attack[] {
  const { header, claims } = forge;
  const { each } = rowsWith(forge);
  const stray = { headerBytes: jsonWithStrayBits(header), claimsBytes: jsonWithStrayBits(claims) };
  const standard = Buffer.from(JSON.stringify({ ...claims, x: '~~~???>>>' })).toString('base64');
  if (!/[+/]/.test(standard)) throw new Error('this has nothing of the other alphabet');
  return [
    ...each(ACCEPTED, [['blanks inside the JSON', stray]]),
    ...each('token_malformed', [
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
    ]),
  ];
}
