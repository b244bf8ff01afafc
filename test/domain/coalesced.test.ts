import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { coalesced } from '../../src/domain/coalesced.js';

/** Runs that end when the test says so. */
function runs() {
  const open: { end: () => void; fail: () => void }[] = [];
  const call = coalesced(
    () => new Promise<void>((resolve, reject) => open.push({ end: resolve, fail: () => reject(new Error('failed')) })),
  );
  return { open, call };
}

t.test('who comes while a run is under way gets the next one, however many come', async (t) => {
  const { open, call } = runs();
  const ended: string[] = [];
  const note = (name: string) => () => void ended.push(name);
  const all = [call().then(note('first')), ...[1, 2, 3].map(() => call().then(note('later')))];
  t.equal(open.length, 1);
  open[0]?.end();
  await setImmediate();
  t.same(ended, ['first']);
  t.equal(open.length, 2);
  const last = call().then(note('last'));
  open[1]?.end();
  await setImmediate();
  t.same(ended, ['first', 'later', 'later', 'later']);
  open[2]?.end();
  await Promise.all([...all, last]);
  t.equal(open.length, 3);
});

t.test('a run that fails fails for those it was for; the next one runs', async (t) => {
  const { open, call } = runs();
  const [first, next] = [call(), call()];
  open[0]?.fail();
  await t.rejects(first, /failed/);
  await setImmediate();
  open[1]?.end();
  await t.resolves(next);
  const again = call();
  open[2]?.fail();
  await t.rejects(again, /failed/);
});
