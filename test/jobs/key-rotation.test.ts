import t from 'tap';
import { keyRotation } from '../../src/jobs/key-rotation.js';
import type { TokenSigner } from '../../src/ports/token-signer.js';
import { fakeClock } from '../support/clock.js';
import { fakeDevice } from '../support/device.js';
import { keyNode, memoryKeyStore, severalKeks } from '../support/signing-keys.js';

const DAY_S = 86_400;

function start(signer?: TokenSigner) {
  const clock = fakeClock();
  const memory = memoryKeyStore(clock);
  const keks = severalKeks('a');
  const { ring: keys, signingKeys } = keyNode({ store: memory.store, clock, keks, ...(signer && { signer }) });
  const lines: [string, unknown, string][] = [];
  const log = Object.fromEntries(
    ['info', 'warn', 'error'].map((level) => [
      level,
      (fields: object, text: string) => lines.push([level, fields, text]),
    ]),
  ) as unknown as Parameters<typeof keyRotation>[1];
  const job = keyRotation({ keys, signingKeys }, log);
  return { memory, clock, keks, keys, job, said: () => lines.splice(0) };
}

t.test('each transition is a line in the log, and a look at which nothing happens is none', async (t) => {
  const { clock, keys, job, said } = start();
  await job.tend();
  const first = keys.signingKey().kid;
  t.match(said(), [['info', { alg: 'EdDSA' }, 'signing_key.created']]);
  await job.tend();
  t.same(said(), []);
  clock.advance(30 * DAY_S);
  await job.tend();
  const { kid } = keys.signingKey();
  t.not(kid, first, 'and the node signs with the new key');
  t.match(said(), [
    ['info', { kid, details: { replaces: [first] } }, 'signing_key.promoted'],
    ['info', {}, 'signing_key.created'],
  ]);
});

t.test('a key that cannot be opened is told of once, and again when it is another', async (t) => {
  const { memory, keks, job, said } = start();
  await job.tend();
  said();
  keks.put('b');
  const [active, pending] = memory.rows;
  if (active === undefined || pending === undefined) throw new Error('no keys');
  memory.rows[1] = { ...pending, kekId: 'b' };
  for (let n = 0; n < 3; n++) await job.follow();
  t.match(said(), [['error', { kid: pending.kid, kekId: 'b', problem: 'seal_broken' }, /cannot be opened/]]);
  memory.rows[0] = { ...active, kekId: 'gone' };
  await job.follow();
  t.match(said(), [['error', { kid: active.kid, kekId: 'gone', problem: 'kek_missing' }, /KEYS_DIR/]]);
});

t.test('what is due is done once at a time, and following does not wait for it', async (t) => {
  const device = fakeDevice();
  const { memory, job } = start(device.signer);
  await job.follow();
  const { generate } = device.signer;
  let made = 0;
  let finish = () => {};
  const hung = new Promise<void>((resolve) => {
    finish = resolve;
  });
  device.signer.generate = async (alg) => {
    made++;
    await hung;
    return generate(alg);
  };
  const tending = [job.tend(), job.tend()];
  const reads = memory.state.reads;
  await job.follow();
  t.ok(memory.state.reads > reads);
  finish();
  await Promise.all(tending);
  t.equal(made, 1);
});

t.test('what is left behind in a device is told of once, with what can be done', async (t) => {
  const device = fakeDevice();
  const { memory, clock, job, said } = start(device.signer);
  const kid = await device.leave();
  for (let n = 0; n < 4; n++) await job.tend();
  t.match(
    said().filter(([level]) => level === 'warn'),
    [['warn', { kid, leftover: 'unknown' }, /delete it with the tools of the maker/]],
  );
  device.signer.destroy = async () => Promise.reject(new Error('CKR_DEVICE_ERROR'));
  clock.advance(30 * DAY_S);
  for (let n = 0; n < 3; n++) await job.tend();
  const old = memory.rows.find(({ state }) => state === 'retiring')?.kid;
  t.match(
    said().filter(([level]) => level === 'warn'),
    [['warn', { kid: old, leftover: 'not_destroyed', error: 'CKR_DEVICE_ERROR' }, /could not be destroyed/]],
  );
});

t.test('a key that stopped to sign is told of with what the device said', async (t) => {
  const device = fakeDevice();
  const { keys, job, said } = start(device.signer);
  await job.tend();
  said();
  const { kid, handle } = keys.signingKey();
  device.state.plugged = false;
  await t.rejects(handle.sign(Buffer.from('x')));
  await job.follow();
  t.match(said()[0], ['error', { kid, problem: 'not_signing', error: /CKR_DEVICE_REMOVED/ }, /does not sign/]);
});
