import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { type Together, together } from '../../../src/adapters/postgres/together.js';

/** Each call ends when the test says so; what is asked is answered with its tenfold. */
function calls(more: Partial<Together<number, number>> = {}) {
  const open: { items: readonly number[]; end(error?: Error): void }[] = [];
  const { ask, late } = together<number, number>({
    atOnce: 2,
    sizeFor: (waiting) => Math.min(waiting, 4),
    serve: (items) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error) => (error === undefined ? resolve(items.map((item) => item * 10)) : reject(error));
        open.push({ items, end });
      }),
    ...more,
  });
  const next = async () => {
    await turn();
    return open.map(({ items }) => items);
  };
  return { ask, late, open, next };
}

t.test('whoever asks in one turn is served by one call, and each gets its own result', async (t) => {
  const { ask, open, next } = calls();
  const results = Promise.all([1, 2, 3].map(ask));
  t.same(await next(), [[1, 2, 3]]);
  open[0]?.end();
  t.same(await results, [10, 20, 30]);
});

t.test('whoever comes while as many calls are made as may be is served when one of them is over', async (t) => {
  const { ask, open, next } = calls();
  const results = [1, 2, 3, 4, 5, 6, 7].map(ask);
  t.same(await next(), [
    [1, 2, 3, 4],
    [5, 6, 7],
  ]);
  results.push(ask(8), ask(9));
  t.equal((await next()).length, 2, 'they wait');
  open[1]?.end();
  t.same(await results[6], 70);
  t.same((await next())[2], [8, 9]);
  open[0]?.end();
  open[2]?.end();
  t.same(await Promise.all(results), [10, 20, 30, 40, 50, 60, 70, 80, 90]);
});

t.test('a call that fails fails for those whom it served, and for nobody else', async (t) => {
  const { ask, open, next } = calls({ atOnce: 1 });
  const failed = Promise.allSettled([1, 2, 3, 4].map(ask));
  const later = ask(5);
  await next();
  open[0]?.end(new Error('lost'));
  t.match(await failed, Array(4).fill({ status: 'rejected', reason: { message: 'lost' } }));
  t.same((await next())[1], [5]);
  open[1]?.end();
  t.equal(await later, 50);
});

t.test('calls that hang keep nobody waiting for long, and count once when they end after all', async (t) => {
  const { ask, open, next } = calls({ sizeFor: () => 1 });
  const hanging = [ask(1), ask(2)];
  await next();
  const later = ask(3);
  t.equal((await next()).length, 2, 'it waits for a while');
  while (open.length < 3) await turn();
  open[2]?.end();
  t.equal(await later, 30);
  for (const call of open) call.end();
  t.same(await Promise.all(hanging), [10, 20]);
  const more = [4, 5, 6].map(ask);
  t.equal((await next()).length, 5, 'no more at one time than before');
  for (const call of open) call.end();
  while (open.length < 6) await turn();
  open[5]?.end();
  t.same(await Promise.all(more), [40, 50, 60]);
});

t.test('a call that hangs sends off all who wait, and counts all but one of those whom it serves', async (t) => {
  const { ask, late, open, next } = calls();
  const results = Array.from({ length: 30 }, (_, n) => ask(n));
  t.equal((await next()).length, 2);
  t.equal(late(), 0, 'nobody has waited for long yet');
  while (open.length === 2) await turn();
  t.equal(open.length, 8, 'all in one turn');
  while (late() < 30 - 8) await turn();
  for (const call of open) call.end();
  t.same(
    await Promise.all(results),
    Array.from({ length: 30 }, (_, n) => n * 10),
  );
  await turn();
  t.equal(late(), 0);
});

t.test('what fails for one item alone fails for it alone', async (t) => {
  const serve = async (items: readonly number[]) =>
    items.map((item) => (item === 2 ? Promise.reject(new Error('not this one')) : item));
  const { ask } = calls({ serve });
  t.match(await Promise.allSettled([1, 2, 3].map(ask)), [
    { value: 1 },
    { reason: { message: 'not this one' } },
    { value: 3 },
  ]);
});
