/** Whatever is done to a genuine token: it is refused, by a VerifyError, unless it is the same token still. */
import fc from 'fast-check';
import t from 'tap';
import { VerifyError } from '../../src/verifier/index.js';
import { rs256 } from '../support/forge.js';
import { bench, rsaKey } from '../support/verifier.js';

const SEED = Number(process.env.FUZZ_SEED ?? 20_260_301);
const numRuns = Number(process.env.FUZZ_RUNS ?? 500);

const { verifier, forge } = bench(t);
const genuine = forge.token();
const other = forge.token({ claims: { jti: 'token-2', sub: 'eve', scope: 'admin' } });
const parts = genuine.split('.');
const strangers = rs256(rsaKey('stranger').privateKey);

/** Null when it is accepted. Anything but a VerifyError is thrown on. */
async function refusalOf(verified: Promise<unknown>): Promise<string | null> {
  try {
    await verified;
    return null;
  } catch (error) {
    if (error instanceof VerifyError) return error.code;
    throw error;
  }
}

const isRefused = async (token: string): Promise<boolean> =>
  (await refusalOf(verifier.verify(token))) === null ? token === genuine || token === other : true;

const check = (tokens: fc.Arbitrary<string>) => fc.assert(fc.asyncProperty(tokens, isRefused), { seed: SEED, numRuns });

const character = fc.oneof(
  fc.constantFrom(...'AQgwZz09-_.=+/ \n\0'),
  fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
);

t.test('characters that are replaced, put in, left out, doubled or moved', async () => {
  const position = fc.nat(genuine.length - 1);
  const edit = fc.record({ at: position, remove: fc.nat(3), put: fc.array(character, { maxLength: 3 }) });
  await check(
    fc
      .array(edit, { minLength: 1, maxLength: 4 })
      .map((edits) =>
        edits.reduce(
          (token, { at, remove, put }) => token.slice(0, at) + put.join('') + token.slice(at + remove),
          genuine,
        ),
      ),
  );
});

t.test('every single character, replaced by its neighbours', async (t) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  let accepted = 0;
  for (let i = 0; i < genuine.length; i++) {
    const at = alphabet.indexOf(genuine[i] ?? '');
    for (const next of [alphabet[at ^ 1] ?? 'A', '=']) {
      const changed = genuine.slice(0, i) + next + genuine.slice(i + 1);
      if ((await refusalOf(verifier.verify(changed))) === null) accepted++;
    }
  }
  t.equal(accepted, 0);
});

t.test('bits of a part that are turned', async () => {
  const turned = fc.record({ part: fc.nat(2), at: fc.nat(), bit: fc.nat(7) }).map(({ part, at, bit }) => {
    const bytes = Buffer.from(parts[part] ?? '', 'base64url');
    const index = at % bytes.length;
    bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
    return parts.map((text, i) => (i === part ? bytes.toString('base64url') : text)).join('.');
  });
  await check(turned);
});

t.test('parts of two genuine tokens, in any order and number', async () => {
  const pieces = [...parts, ...other.split('.'), ''];
  await check(fc.array(fc.constantFrom(...pieces), { maxLength: 5 }).map((chosen) => chosen.join('.')));
});

t.test('any members in the header or the claims, signed by a stranger', async () => {
  const member = fc.constantFrom(
    'alg',
    'kid',
    'typ',
    'crit',
    'b64',
    'jwk',
    'exp',
    'iat',
    'aud',
    'iss',
    'sub',
    '__proto__',
  );
  const changes = fc.dictionary(member, fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>, { maxKeys: 4 });
  await check(
    fc.record({ header: changes, claims: changes }).map((made) => forge.token({ ...made, signer: strangers })),
  );
});

t.test('any header before genuine claims and a genuine signature', async () => {
  const member = fc.constantFrom('alg', 'kid', 'typ', 'x');
  const value = fc.oneof(fc.constantFrom('none', 'HS256', 'RS256', 'at+jwt', forge.kid), fc.jsonValue({ maxDepth: 2 }));
  const header = fc.dictionary(member, value as fc.Arbitrary<unknown>).map((made) => JSON.stringify(made));
  await check(header.map((text) => [Buffer.from(text).toString('base64url'), parts[1], parts[2]].join('.')));
});

t.test('anything at all, signed by the issuer itself: accepted or refused, and no other end', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
  );
  await fc.assert(
    fc.asyncProperty(fc.option(bytes), fc.option(bytes), async (headerBytes, claimsBytes) => {
      const token = forge.token({ ...(headerBytes && { headerBytes }), ...(claimsBytes && { claimsBytes }) });
      await refusalOf(verifier.verify(token));
    }),
    // Each has to be signed.
    { seed: SEED, numRuns: Math.ceil(numRuns / 5) },
  );
});

t.test('anything at all, in a header or as an argument', async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.anything()), async (anything) => {
      const headers = { authorization: anything as string };
      const codes = [
        await refusalOf(verifier.verify(anything as string)),
        await refusalOf(verifier.verifyRequest({ headers, rawHeaders: [] })),
        await refusalOf(
          verifier.verifyRequest({ headers: { authorization: `Bearer ${String(JSON.stringify(anything))}` } }),
        ),
      ];
      return codes.every((code) => code !== null);
    }),
    { seed: SEED, numRuns },
  );
});

t.test('after all of that the genuine one is good', async (t) => {
  t.same(await verifier.verify(genuine), forge.claims);
});
