import t from 'tap';
import { nodeTokenSigner, thumbprint } from '../../src/adapters/node-crypto/token-signer.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { createKeyVault } from '../../src/domain/key-vault.js';
import { KekProblem } from '../../src/ports/kek-source.js';
import { testKeks } from '../support/service.js';

t.test('a private key is wiped from memory whether or not it could be sealed', async (t) => {
  const keks = testKeks();
  let asked = 0;
  const newest = (atOnce: number) => () => {
    if (asked++ >= atOnce) throw new KekProblem('gone');
    return keks.newest();
  };
  for (const [name, parts, error] of [
    ['sealed', {}, null],
    ['the KEK was taken away meanwhile', { keks: { ...keks, newest: newest(1) } }, 'gone'],
    ['no name could be made', { thumbprint: () => Promise.reject(new Error('no name')) }, 'no name'],
  ] as const) {
    let material = new Uint8Array();
    const signer = {
      ...nodeTokenSigner,
      async generate(alg: 'EdDSA') {
        const pair = await nodeTokenSigner.generate(alg);
        t.ok(pair.material.some((byte) => byte !== 0));
        material = pair.material as typeof material;
        return pair;
      },
    } as typeof nodeTokenSigner;
    const vault = createKeyVault({ keks, signer, random: systemRandom, thumbprint, ...parts });
    if (error === null) t.ok((await vault.make('EdDSA')).kid, name);
    else await t.rejects(vault.make('EdDSA'), { message: error }, name);
    t.ok(
      material.every((byte) => byte === 0),
      name,
    );
  }
});
