import t, { type Test } from 'tap';
import { fromBase64url } from '../../src/verifier/base64url.js';

const MODULE = '../../src/verifier/base64url.js';

/** As it is loaded where this is the global `Buffer`. */
async function loadedWith(t: Test, value: unknown): Promise<typeof fromBase64url> {
  const { restore } = t.intercept(globalThis, 'Buffer', { value });
  const loaded = await import(`${new URL(MODULE, import.meta.url)}?${Math.random()}`);
  restore();
  return loaded.fromBase64url;
}

const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
const text = Buffer.from(bytes).toString('base64url');

t.test('bytes have one spelling, with Node’s Buffer, without one, and with one that knows less', async (t) => {
  const ofABundler = {
    isEncoding: () => false,
    from() {
      throw new TypeError('Unknown encoding: base64url');
    },
  };
  const all = [fromBase64url, await loadedWith(t, undefined), await loadedWith(t, ofABundler)];
  for (const read of all) {
    t.strictSame(Uint8Array.from(read(text) ?? []), bytes);
    t.strictSame(read('')?.length, 0);
    for (const other of [`${text}=`, ` ${text}`, 'QQ==', 'QR', 'Q', 'Q+', 'Q/', 'Q Q', 'é'])
      t.equal(read(other), null, other);
  }
});
