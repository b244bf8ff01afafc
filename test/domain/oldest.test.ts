/** Forgetting the oldest of many: which one, and at what price. */
import t from 'tap';
import { createForgetOldest } from '../../src/domain/oldest.js';

t.test('the one that has been there for longest is forgotten, whatever was deleted or set anew since', async (t) => {
  const map = new Map<string, number>();
  const forget = createForgetOldest(map);
  forget();
  for (const key of ['a', 'b', 'c', 'd']) map.set(key, 1);
  forget();
  t.strictSame([...map.keys()], ['b', 'c', 'd']);
  map.delete('b');
  map.set('b', 2);
  forget();
  t.strictSame([...map.keys()], ['d', 'b']);
  for (let i = 0; i < 1_000; i++) {
    map.set(`${i}`, i);
    forget();
  }
  t.strictSame([...map.keys()], ['998', '999']);
});

t.test('in a map of 50,000 it costs about what it does in a small one', async (t) => {
  function timeOf(most: number): number {
    const map = new Map<number, number>();
    const forget = createForgetOldest(map);
    for (let i = 0; i < most; i++) map.set(i, i);
    const began = performance.now();
    for (let i = 0; i < 20_000; i++) {
      map.set(most + i, i);
      forget();
    }
    return performance.now() - began;
  }
  // The quickest of three: a machine has other things to do as well.
  const quickest = (most: number) => Math.min(timeOf(most), timeOf(most), timeOf(most));
  const [small, large] = [quickest(50), quickest(50_000)];
  t.ok(large < 25 * small, `${Math.round(large)} ms for 20,000, and ${Math.round(small)} ms in a map of 50`);
});
