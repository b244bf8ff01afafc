import { createPrivateKey } from 'node:crypto';
import { compactVerify, importJWK, type JWK } from 'jose';
import t, { type Test } from 'tap';
import { nodeTokenSigner, thumbprint, verifySignature } from '../../src/adapters/node-crypto/token-signer.js';
import { toBase64url } from '../../src/domain/base64url.js';
import { type SigningAlg, signingAlgs } from '../../src/domain/types.js';
import type { TokenSigner, VerifySignature } from '../../src/ports/token-signer.js';

const payload = toBase64url(Buffer.from('{"sub":"somebody"}'));
const inputFor = (alg: string) => `${toBase64url(Buffer.from(JSON.stringify({ alg })))}.${payload}`;

/** RFC 7518 §3.3 to §3.5 and RFC 8037 §3.1: the length of a signature, bytes. */
const lengths: Record<SigningAlg, number> = { RS256: 256, PS256: 256, ES256: 64, EdDSA: 64 };
const members: Record<SigningAlg, string[]> = {
  RS256: ['e', 'kty', 'n'],
  PS256: ['e', 'kty', 'n'],
  ES256: ['crv', 'kty', 'x', 'y'],
  EdDSA: ['crv', 'kty', 'x'],
};

function tokenSignerContract(t: Test, signer: TokenSigner, verify: VerifySignature): void {
  for (const alg of signingAlgs) {
    t.test(`a signature by ${alg} is one that others accept`, async (t) => {
      const { publicJwk, privatePkcs8 } = await signer.generate(alg);
      t.strictSame(Object.keys(publicJwk).sort(), members[alg], 'the public part holds nothing private');
      const handle = signer.open(alg, privatePkcs8);
      const signingInput = Buffer.from(inputFor(alg));
      const signature = await handle.sign(signingInput);
      t.equal(signature.length, lengths[alg]);
      const jws = `${inputFor(alg)}.${toBase64url(signature)}`;
      const { protectedHeader } = await compactVerify(jws, await importJWK(publicJwk, alg), { algorithms: [alg] });
      t.equal(protectedHeader.alg, alg);
      t.ok(await verify(alg, publicJwk, signingInput, signature));

      const other = await signer.generate(alg);
      t.notOk(await verify(alg, other.publicJwk, signingInput, signature), 'not by another key');
      t.notOk(await verify(alg, publicJwk, Buffer.from(`${inputFor(alg)}x`), signature), 'not of something else');
      for (const at of [0, signature.length - 1]) {
        const changed = Uint8Array.from(signature, (byte, i) => (i === at ? byte ^ 1 : byte));
        t.notOk(await verify(alg, publicJwk, signingInput, changed), `not with byte ${at} changed`);
      }
      for (const wrong of [new Uint8Array(), signature.subarray(1), new Uint8Array(signature.length)]) {
        t.notOk(await verify(alg, publicJwk, signingInput, wrong), `not ${wrong.length} other bytes`);
      }
    });

    t.test(`a key for ${alg} is found by its thumbprint`, async (t) => {
      const { publicJwk, privatePkcs8 } = await signer.generate(alg);
      const published: JWK = { ...publicJwk, kid: 'x', use: 'sig', alg };
      t.equal(await thumbprint(published), await thumbprint(publicJwk), 'whatever else is in the JWK');
      t.match(await thumbprint(publicJwk), /^[A-Za-z0-9_-]{43}$/);
      const key = createPrivateKey({ key: Buffer.from(privatePkcs8), format: 'der', type: 'pkcs8' });
      t.equal(key.type, 'private');
    });
  }

  t.test('RS256 and EdDSA sign the same input in the same way each time', async (t) => {
    for (const alg of ['RS256', 'EdDSA'] as const) {
      const { privatePkcs8 } = await signer.generate(alg);
      const [one, two] = [signer.open(alg, privatePkcs8), signer.open(alg, privatePkcs8)];
      const input = Buffer.from(inputFor(alg));
      t.strictSame(await one.sign(input), await two.sign(input), alg);
    }
  });

  t.test('an RSA signature of the other padding does not verify', async (t) => {
    const { publicJwk, privatePkcs8 } = await signer.generate('RS256');
    const input = Buffer.from(inputFor('RS256'));
    for (const [made, read] of [
      ['RS256', 'PS256'],
      ['PS256', 'RS256'],
    ] as const) {
      const signature = await signer.open(made, privatePkcs8).sign(input);
      t.ok(await verify(made, publicJwk, input, signature));
      t.notOk(await verify(read, publicJwk, input, signature), `${made} read as ${read}`);
    }
  });

  t.test('an RSA key has 2048 bits and the usual exponent', async (t) => {
    const { publicJwk } = await signer.generate('RS256');
    t.equal(Buffer.from(publicJwk.n ?? '', 'base64url').length, 256);
    t.equal(publicJwk.e, 'AQAB');
  });

  t.test('what is no private key cannot be opened', async (t) => {
    t.throws(() => signer.open('RS256', new Uint8Array(100)));
  });

  t.test('many signatures at once are each right', async (t) => {
    const { publicJwk, privatePkcs8 } = await signer.generate('ES256');
    const handle = signer.open('ES256', privatePkcs8);
    const inputs = Array.from({ length: 20 }, (_, i) => Buffer.from(`${inputFor('ES256')}${i}`));
    const signatures = await Promise.all(inputs.map((input) => handle.sign(input)));
    for (const [i, signature] of signatures.entries()) {
      t.ok(await verify('ES256', publicJwk, inputs[i] ?? Buffer.alloc(0), signature));
    }
  });
}

tokenSignerContract(t, nodeTokenSigner, verifySignature);
