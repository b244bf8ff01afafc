import t from 'tap';
import { seldom } from '../../src/domain/seldom.js';
import { fakeClock } from '../support/clock.js';

t.test('the same is told once in a while, and something else at once', async (t) => {
  const clock = fakeClock();
  const told: string[] = [];
  const tell = seldom(10_000, clock, (text) => told.push(text));
  for (const text of ['refused', 'refused', 'timed out', 'refused']) tell(text);
  t.same(told, ['refused', 'timed out']);
  clock.advance(9.999);
  tell('refused');
  t.equal(told.length, 2);
  clock.advance(0.001);
  tell('refused');
  t.same(told, ['refused', 'timed out', 'refused']);
});
