import { getHeapSpaceStatistics } from 'node:v8';
import t from 'tap';
import { keepHeapSmall } from '../../../src/adapters/system/heap.js';

const MB = 2 ** 20;
const oldMb = () =>
  (getHeapSpaceStatistics().find((space) => space.space_name === 'old_space')?.space_used_size ?? 0) / MB;
const made = () => Array.from({ length: 1_000 }, (_, i) => ({ i }));

t.test('garbage that has grown old does not pile up beside what is alive', async (t) => {
  keepHeapSmall();
  const begun = oldMb();
  const alive = Array.from({ length: 400 }, made);
  let most = 0;
  // Each lives through a few hundred others: long enough to be taken for something that stays.
  for (let i = 0; i < 5_000; i++) {
    alive[i % alive.length] = made();
    if (i % 100 === 0) most = Math.max(most, oldMb() - begun);
  }
  t.ok(most < 70, `${Math.round(most)} MB for ${alive.length} that take 20`);
});
