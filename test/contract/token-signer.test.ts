import { createPrivateKey } from 'node:crypto';
import { compactVerify, importJWK, type JWK } from 'jose';
import t, { type Test } from 'tap';
import { nodeTokenSigner, thumbprint, verifySignature } from '../../src/adapters/node-crypto/token-signer.js';
import { createPkcs11Signer } from '../../src/adapters/pkcs11/token-signer.js';
import { severalSigners } from '../../src/adapters/several-signers/token-signer.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { readConfig } from '../../src/config.js';
import { toBase64url } from '../../src/domain/base64url.js';
import { type SigningAlg, signingAlgs } from '../../src/domain/types.js';
import { openSigner } from '../../src/foundation.js';
import type { DistinctSigner, TokenSigner, VerifySignature } from '../../src/ports/token-signer.js';
import { softHsm, withoutSoftHsm } from '../support/softhsm.js';

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

function tokenSignerContract(t: Test, signer: DistinctSigner, verify: VerifySignature): void {
  // Some devices take their time over an RSA key: one for each algorithm, and another.
  const made = new Map<string, ReturnType<TokenSigner['generate']>>();
  const keyOf = (alg: SigningAlg, name = 'one') => {
    const key = made.get(alg + name) ?? signer.generate(alg);
    made.set(alg + name, key);
    return key;
  };

  for (const alg of signingAlgs) {
    t.test(`a signature by ${alg} is one that others accept`, async (t) => {
      const pair = await keyOf(alg);
      const { publicJwk } = pair;
      t.strictSame(Object.keys(publicJwk).sort(), members[alg], 'the public part holds nothing private');
      const handle = await signer.open(alg, pair);
      const signingInput = Buffer.from(inputFor(alg));
      const signature = await handle.sign(signingInput);
      t.equal(signature.length, lengths[alg]);
      const jws = `${inputFor(alg)}.${toBase64url(signature)}`;
      const { protectedHeader } = await compactVerify(jws, await importJWK(publicJwk, alg), { algorithms: [alg] });
      t.equal(protectedHeader.alg, alg);
      t.ok(await verify(alg, publicJwk, signingInput, signature));

      const other = await keyOf(alg, 'another');
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
      const { publicJwk } = await keyOf(alg);
      const published: JWK = { ...publicJwk, kid: 'x', use: 'sig', alg };
      t.equal(await thumbprint(published), await thumbprint(publicJwk), 'whatever else is in the JWK');
      t.match(await thumbprint(publicJwk), /^[A-Za-z0-9_-]{43}$/);
    });
  }

  t.test('RS256 and EdDSA sign the same input in the same way each time', async (t) => {
    for (const alg of ['RS256', 'EdDSA'] as const) {
      const pair = await keyOf(alg);
      const [one, two] = [await signer.open(alg, pair), await signer.open(alg, pair)];
      const input = Buffer.from(inputFor(alg));
      t.strictSame(await one.sign(input), await two.sign(input), alg);
    }
  });

  t.test('an RSA signature of the other padding does not verify', async (t) => {
    const pair = await keyOf('RS256');
    const { publicJwk } = pair;
    const input = Buffer.from(inputFor('RS256'));
    for (const [made, read] of [
      ['RS256', 'PS256'],
      ['PS256', 'RS256'],
    ] as const) {
      const signature = await (await signer.open(made, pair)).sign(input);
      t.ok(await verify(made, publicJwk, input, signature));
      t.notOk(await verify(read, publicJwk, input, signature), `${made} read as ${read}`);
    }
  });

  t.test('an RSA key has 2048 bits and the usual exponent', async (t) => {
    const { publicJwk } = await keyOf('RS256');
    t.equal(Buffer.from(publicJwk.n ?? '', 'base64url').length, 256);
    t.equal(publicJwk.e, 'AQAB');
  });

  t.test('what is no private key cannot be opened', async (t) => {
    const { publicJwk, material } = await signer.generate('ES256');
    for (const wrong of [new Uint8Array(), new Uint8Array(100), material.subarray(0, -1)]) {
      await t.rejects(signer.open('ES256', { publicJwk, material: wrong }));
    }
    t.ok(signer.owns(material));
    t.notOk(signer.owns(new Uint8Array(100)));
    t.notOk(signer.owns(new Uint8Array()));
  });

  t.test('a key can be destroyed, and once more', async (t) => {
    const { material } = await signer.generate('ES256');
    await t.resolves(signer.destroy(material));
    await t.resolves(signer.destroy(material));
  });

  t.test('many signatures at once are each right', async (t) => {
    const pair = await keyOf('ES256');
    const { publicJwk } = pair;
    const handle = await signer.open('ES256', pair);
    const inputs = Array.from({ length: 50 }, (_, i) => Buffer.from(`${inputFor('ES256')}${i}`));
    const signatures = await Promise.all(inputs.map((input) => handle.sign(input)));
    for (const [i, signature] of signatures.entries()) {
      t.ok(await verify('ES256', publicJwk, inputs[i] ?? Buffer.alloc(0), signature));
    }
    t.equal(handle.problem(), null);
  });
}

t.test('in this process', async (t) => {
  tokenSignerContract(t, nodeTokenSigner, verifySignature);

  t.test('the material is the key', async (t) => {
    const { material } = await nodeTokenSigner.generate('ES256');
    t.equal(createPrivateKey({ key: Buffer.from(material), format: 'der', type: 'pkcs8' }).type, 'private');
  });
});

t.test('in a PKCS #11 token', { skip: withoutSoftHsm }, async (t) => {
  const signer = createPkcs11Signer({ ...softHsm().settings, random: systemRandom, verifySignature });
  t.teardown(signer.close);
  await signer.ensureSupport('EdDSA');
  tokenSignerContract(t, signer, verifySignature);
});

t.test('in both, while one takes the place of the other', { skip: withoutSoftHsm }, async (t) => {
  const device = createPkcs11Signer({ ...softHsm().settings, random: systemRandom, verifySignature });
  t.teardown(device.close);
  const before = await nodeTokenSigner.generate('ES256');
  const both = severalSigners(device, nodeTokenSigner);
  const after = await both.generate('ES256');
  t.ok(device.owns(after.material), 'new keys are in the token');
  t.notOk(nodeTokenSigner.owns(after.material));
  t.notOk(device.owns(before.material));
  const input = Buffer.from(inputFor('ES256'));
  for (const pair of [before, after]) {
    const signature = await (await both.open('ES256', pair)).sign(input);
    t.ok(await verifySignature('ES256', pair.publicJwk, input, signature), 'and every key signs');
  }

  const { module, token, pin } = softHsm().settings;
  const env = { PKCS11_MODULE: module, PKCS11_TOKEN: token, PKCS11_PIN: pin, SIGNING_ALG: 'ES256' };
  for (const SIGNER of ['pkcs11', 'local']) {
    const signer = await openSigner(readConfig({ ...env, SIGNER }));
    t.teardown(() => signer.close?.());
    t.equal(device.owns((await signer.generate('ES256')).material), SIGNER === 'pkcs11', `SIGNER=${SIGNER}`);
    for (const pair of [after, before]) t.equal((await signer.open('ES256', pair)).problem(), null);
  }
  const without = await openSigner(readConfig({}));
  await t.rejects(without.open('ES256', after), { message: /not configured/ });

  await both.destroy(after.material);
  await t.rejects(device.open('ES256', after), { message: /no private key/ });
});
