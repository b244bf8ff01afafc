/** What a PKCS #11 token does beyond the port's contract: it keeps its keys, comes and goes, and counts wrong PINs. */
import t from 'tap';
import { thumbprint, verifySignature } from '../../src/adapters/node-crypto/token-signer.js';
import { type DeviceSettings, loadPackage, openDevice } from '../../src/adapters/pkcs11/device.js';
import { formatReference, parseReference } from '../../src/adapters/pkcs11/reference.js';
import { createThreads } from '../../src/adapters/pkcs11/threads.js';
import { createPkcs11Signer } from '../../src/adapters/pkcs11/token-signer.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { eventually } from '../support/process.js';
import { softHsm, withoutSoftHsm } from '../support/softhsm.js';

const CKU_USER = 1;
const CKF_RW_SERIAL = 6;
const CKO_PRIVATE_KEY = 3;
const CKA = { CLASS: 0, LABEL: 3, ID: 0x102, SENSITIVE: 0x103, SIGN: 0x108, DECRYPT: 0x105, UNWRAP: 0x107 };
const CKA_EXTRACTABLE = 0x162;
const CKA_VALUE = 0x11;

t.test('a reference is a PKCS #11 URI, whatever the token is called', async (t) => {
  const id = Uint8Array.of(0, 1, 0x7f, 0xff);
  for (const token of ['keyturn', 'a;b=c/d%41 ü?']) {
    const uri = formatReference({ token, id });
    t.match(Buffer.from(uri).toString(), /^pkcs11:token=[A-Za-z0-9%]+;id=%00%01%7f%ff;type=private$/);
    t.same(parseReference(uri), { token, id: Buffer.from(id) });
  }
  for (const wrong of ['', 'pkcs11:', 'pkcs11:token=a;type=private', 'pkcs11:token=a;id=00;type=private', '0\x82']) {
    t.throws(() => parseReference(Buffer.from(wrong)), /no reference/, wrong);
  }
});

t.test('without the package there is a word on where to get it', async (t) => {
  t.throws(() => loadPackage('not-a-package'), { message: /needs the package not-a-package.*see docs\/hsm\.md$/ });
});

t.test('the device', { skip: withoutSoftHsm }, async (t) => {
  const { settings } = softHsm();
  const parts = { random: systemRandom, verifySignature };
  const signerWith = (changed: Partial<DeviceSettings> = {}) => {
    const signer = createPkcs11Signer({ ...settings, ...changed, ...parts });
    t.teardown(signer.close);
    return signer;
  };
  const signer = signerWith();
  await signer.ensureSupport('ES256');
  const key = await signer.generate('ES256');
  const input = Buffer.from('input');
  const verifies = async (signature: Uint8Array) => verifySignature('ES256', key.publicJwk, input, signature);

  // The library is the process's: what is done here is seen by the signer's threads.
  const library = new (loadPackage().PKCS11)();
  library.load(settings.module);
  const slot = () => {
    const found = library.C_GetSlotList(true).find((s) => library.C_GetTokenInfo(s).label.trimEnd() === settings.token);
    if (found === undefined) throw new Error('no slot');
    return found;
  };
  const objectsOf = (id: Uint8Array) => {
    const session = library.C_OpenSession(slot(), CKF_RW_SERIAL);
    library.C_FindObjectsInit(session, [{ type: CKA.ID, value: Buffer.from(id) }]);
    const objects = library.C_FindObjects(session, 9);
    library.C_FindObjectsFinal(session);
    const read = (type: number) => library.C_GetAttributeValue(session, objects[0] as Buffer, [{ type }])[0]?.value;
    return { objects, read };
  };

  await t.test('keeps one object of a key, which signs, does nothing else and cannot be taken out', async (t) => {
    const { objects, read } = objectsOf(parseReference(key.material).id);
    t.equal(objects.length, 1);
    t.equal(read(CKA.CLASS)?.readUInt8(), CKO_PRIVATE_KEY);
    for (const [type, expected] of [
      [CKA.SENSITIVE, 1],
      [CKA_EXTRACTABLE, 0],
      [CKA.SIGN, 1],
      [CKA.DECRYPT, 0],
      [CKA.UNWRAP, 0],
    ] as const) {
      t.equal(read(type)?.readUInt8(), expected, `attribute 0x${type.toString(16)}`);
    }
    t.throws(() => read(CKA_VALUE), { message: 'CKR_ATTRIBUTE_SENSITIVE' });
    t.match(read(CKA.LABEL)?.toString(), /^keyturn [A-Za-z0-9_-]{43}$/, 'named for whoever lists the token');
  });

  await t.test('is found again by another process of the service', async (t) => {
    const handle = await signerWith().open('ES256', key);
    t.ok(await verifies(await handle.sign(input)));
  });

  await t.test('that has lost its sessions is asked in new ones', async (t) => {
    const handle = await signer.open('ES256', key);
    for (let n = 0; n < 3; n++) {
      library.C_CloseAllSessions(slot());
      const signatures = await Promise.all(Array.from({ length: 8 }, () => handle.sign(input)));
      for (const signature of signatures) t.ok(await verifies(signature));
    }
    t.equal(handle.problem(), null);
  });

  await t.test('with a key that was destroyed opens it no more, and a handle of before says so', async (t) => {
    const gone = await signer.generate('ES256');
    const handle = await signer.open('ES256', gone);
    await handle.sign(input);
    await signer.destroy(gone.material);
    t.equal(objectsOf(parseReference(gone.material).id).objects.length, 0);
    await t.rejects(signer.open('ES256', gone), { message: /has no private key with the id [0-9a-f]{32}/ });
    t.equal(handle.problem(), null, 'as long as nobody has tried');
    await t.rejects(handle.sign(input), { message: /has no private key/ });
    t.match(handle.problem(), /has no private key/);
  });

  await t.test('whose key was destroyed is told of by a check that nobody waits for', async (t) => {
    const gone = await signer.generate('ES256');
    const handle = await signer.open('ES256', gone);
    await signer.destroy(gone.material);
    handle.check();
    t.equal(handle.problem(), null);
    await t.resolves(
      eventually(
        () => handle.problem() !== null,
        () => 'it is not told',
      ),
    );
  });

  await t.test('lists its keys with their thumbprints, and not what others keep there', async (t) => {
    const kid = await thumbprint(key.publicJwk);
    const ours = openDevice(settings);
    ours.connect();
    const foreign = systemRandom.bytes(16);
    ours.generate('ES256', foreign);
    ours.rename(foreign, 'somebody else');
    const held = await signer.held();
    t.same(
      held.filter((one) => one.kid === kid).map(({ material }) => Buffer.from(material)),
      [Buffer.from(key.material)],
    );
    t.notOk(held.some(({ material }) => Buffer.compare(parseReference(material).id, foreign) === 0));
    const unfinished = systemRandom.bytes(16);
    ours.generate('ES256', unfinished);
    const name = `CKA_ID ${Buffer.from(unfinished).toString('hex')}`;
    t.ok(
      (await signer.held()).some(({ kid }) => kid === name),
      'one that was left while it was made is told of, too',
    );
    for (const id of [foreign, unfinished]) ours.destroy(id);
  });

  await t.test('leaves no key behind that does not sign, or that could not be named', async (t) => {
    const before = (await signer.held()).length;
    const threads = createThreads(settings);
    t.teardown(threads.close);
    const call: typeof threads.call = (job, ms) =>
      job.do === 'rename' ? Promise.reject(new Error('CKR_ATTRIBUTE_READ_ONLY')) : threads.call(job, ms);
    const unnamed = createPkcs11Signer({ ...settings, ...parts }, { ...threads, call });
    await t.rejects(unnamed.generate('ES256'), { message: 'CKR_ATTRIBUTE_READ_ONLY' });
    const wrong = createPkcs11Signer({ ...settings, ...parts, verifySignature: async () => false }, threads);
    await t.rejects(wrong.generate('ES256'), { message: /do not verify/ });
    t.equal((await signer.held()).length, before);
  });

  await t.test('takes no key that was made elsewhere', async (t) => {
    await t.rejects(signer.adopt(Buffer.from('key')), { code: 'key_rejected', detail: /SIGNER=local/ });
  });

  await t.test('that has another token of the same maker does not look for the key there', async (t) => {
    const elsewhere = formatReference({ token: 'elsewhere', id: parseReference(key.material).id });
    await t.rejects(signer.open('ES256', { ...key, material: elsewhere }), { message: /in the token elsewhere/ });
  });

  await t.test('that does not answer in time is not waited for, and is asked again when it has', async (t) => {
    const threads = createThreads(settings);
    t.teardown(threads.close);
    const { id } = parseReference(key.material);
    const slow = { do: 'generate', alg: 'RS256', id: systemRandom.bytes(16) } as const;
    await t.rejects(threads.call(slow, 1), { message: /no answer within 1 ms/ });
    const signature = await threads.call({ do: 'sign', alg: 'ES256', id, input }, 5000);
    t.ok(await verifies(signature as Uint8Array));
  });

  await t.test('is refused with one line that names the variable', async (t) => {
    const refused = (changed: Partial<DeviceSettings>, message: RegExp) =>
      t.rejects(signerWith(changed).ensureSupport('RS256'), { message });
    await refused({ module: '/absent.so' }, /^PKCS11_MODULE: /);
    await refused({ token: 'absent' }, /^PKCS11_TOKEN: /);
    library.C_CloseAllSessions(slot());
    await refused({ pin: 'hunter2-wrong' }, /^PKCS11_PIN: refused by the token \(CKR_PIN_INCORRECT\)/);
  });

  await t.test('gets a wrong PIN once, however many signatures are wanted', async (t) => {
    const newPin = 'hunter2-new';
    const handle = await signer.open('ES256', key);
    const setPin = (from: string, to: string) => {
      const session = library.C_OpenSession(slot(), CKF_RW_SERIAL);
      library.C_Login(session, CKU_USER, from);
      library.C_SetPIN(session, from, to);
      // The login ends with the last session.
      library.C_CloseAllSessions(slot());
    };
    library.C_CloseAllSessions(slot());
    setPin(settings.pin, newPin);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => handle.sign(input)));
    for (const result of results) t.match(result, { status: 'rejected', reason: { message: /^PKCS11_PIN: / } });
    t.match(handle.problem(), /^PKCS11_PIN: /);
    setPin(newPin, settings.pin);
    await t.rejects(handle.sign(input), { message: /it is not tried again/ }, 'not even when it would be right');
    const fresh = await signerWith().open('ES256', key);
    t.ok(await verifies(await fresh.sign(input)));
  });

  await t.test('that failed is used again as soon as it signs, whatever the algorithm', async (t) => {
    const threads = createThreads(settings);
    t.teardown(threads.close);
    let away = false;
    const call: typeof threads.call = (job, ms) =>
      away ? Promise.reject(new Error('CKR_DEVICE_REMOVED')) : threads.call(job, ms);
    const fresh = createPkcs11Signer({ ...settings, ...parts }, { ...threads, call });
    for (const alg of ['RS256', 'ES256', 'EdDSA'] as const) {
      const pair = await fresh.generate(alg);
      const handle = await fresh.open(alg, pair);
      away = true;
      await t.rejects(handle.sign(input));
      for (let n = 0; n < 5; n++) t.ok(handle.problem());
      away = false;
      await t.resolves(
        eventually(
          () => handle.problem() === null,
          () => `it is not used again: ${handle.problem()}`,
        ),
      );
      t.ok((await handle.sign(input)).length >= 64);
      await fresh.destroy(pair.material);
    }
  });

  await t.test('that has another key in the place of one is found out by a check', async (t) => {
    const ours = openDevice(settings);
    ours.connect();
    const fresh = signerWith();
    const pair = await fresh.generate('ES256');
    const { id } = parseReference(pair.material);
    ours.destroy(id);
    ours.generate('ES256', id);
    const handle = await fresh.open('ES256', pair);
    handle.check();
    await t.resolves(
      eventually(
        () => handle.problem()?.startsWith('the device signs with another key') === true,
        () => 'it is not found out',
      ),
    );
    ours.destroy(id);
  });
});
