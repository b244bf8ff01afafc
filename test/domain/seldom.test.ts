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

t.test(
  'however many there are, a hundred are remembered, and those for as long as they are not told again',
  async (t) => {
    const clock = fakeClock();
    let told = 0;
    const tell = seldom(10_000, clock, () => told++);
    for (let n = 0; n < 101; n++) tell(`port ${n}`);
    t.equal(told, 101);
    tell('port 99');
    t.equal(told, 101);
    tell('port 100');
    t.equal(told, 102, 'the last is told each time');
    clock.advance(10);
    for (let i = 0; i < 2; i++) tell('port 100');
    t.equal(told, 103, 'until there is room');
  },
);
