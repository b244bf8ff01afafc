import t from 'tap';
import { madeWhenUsed } from '../../src/domain/made-when-used.js';

t.test('it is made once, for the first who asks and all others', async (t) => {
  let made = 0;
  const { get, ifMade } = madeWhenUsed(async () => ++made);
  t.equal(await ifMade(), null, 'nobody has asked');
  t.same(await Promise.all([get(), get(), ifMade()]), [1, 1, 1]);
  t.equal(await get(), 1);
});

t.test('what could not be made is tried again by whoever asks next', async (t) => {
  let tries = 0;
  const { get, ifMade } = madeWhenUsed(async () => {
    if (++tries === 1) throw new Error('not now');
    return 'made';
  });
  const both = await Promise.allSettled([get(), get(), ifMade()]);
  t.same(
    both.map(({ status }) => status),
    ['rejected', 'rejected', 'fulfilled'],
  );
  t.equal(tries, 1, 'one try for all who ask at the same time');
  t.equal(await ifMade(), null);
  t.equal(await get(), 'made');
  t.equal(tries, 2);
});
