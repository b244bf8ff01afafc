/** What becomes of work for a device that is slow, hangs, has no session left, or takes the thread with it. */
import { BroadcastChannel } from 'node:worker_threads';
import t, { type Test } from 'tap';
import type { Job } from '../../src/adapters/pkcs11/device.js';
import type { Reply } from '../../src/adapters/pkcs11/thread.js';
import { createThreads, THREADS } from '../../src/adapters/pkcs11/threads.js';
import type { Asked, Told } from '../support/obedient-thread.js';
import { eventually } from '../support/process.js';

const MS = 20_000;
const key: Job = { do: 'ensureKey', id: Uint8Array.of(1) };
const fine: Reply = { value: 'fine' };

let devices = 0;

/** Threads whose jobs the test answers: at once by what `answer` returns, or, where that is null, when it says so. */
function device(t: Test, answer: (asked: Asked) => Told['answer'] | null, turnMs = MS) {
  const channel = new BroadcastChannel(`device ${process.pid} ${devices++}`);
  const asked: Asked[] = [];
  const tell = (thread: number, answer: Told['answer']) => channel.postMessage({ thread, answer } satisfies Told);
  channel.onmessage = (event) => {
    const one = (event as { data: Asked }).data;
    asked.push(one);
    const told = answer(one);
    if (told !== null) tell(one.thread, told);
  };
  const thread = new URL('../support/obedient-thread.js', import.meta.url);
  const threads = createThreads({ module: '', token: channel.name, pin: '' }, { thread, turnMs });
  t.teardown(() => {
    threads.close();
    channel.close();
  });
  const until = (isSo: () => boolean) => eventually(isSo, () => `asked: ${asked.map(({ job }) => job.do).join(' ')}`);
  return { threads, asked, tell, until };
}

t.test('a key that was made too late is destroyed by the thread that made it', async (t) => {
  const { threads, asked, tell, until } = device(t, ({ job }) => (job.do === 'generate' ? null : fine));
  const id = Uint8Array.of(7);
  await t.rejects(threads.call({ do: 'generate', alg: 'RS256', id }, 500), { message: 'no answer within 500 ms' });
  await until(() => asked.some(({ job }) => job.do === 'generate'));
  const [maker] = asked.filter(({ job }) => job.do === 'generate');
  tell(maker?.thread ?? 0, fine);
  await until(() => asked.some(({ job }) => job.do === 'destroy'));
  t.match(asked.at(-1), { thread: maker?.thread, job: { do: 'destroy', id } });
});

t.test('a thread that dies takes nothing with it but what it was asked', async (t) => {
  for (const moment of ['idle', 'connect', 'ensureKey'] as const) {
    let lives = true;
    const { threads, asked, tell } = device(t, ({ job }) => (job.do === moment && !lives ? 'die' : fine));
    if (moment !== 'connect') await threads.call(key, MS);
    lives = false;
    if (moment === 'idle') tell(asked[0]?.thread ?? 0, 'die');
    else await t.rejects(threads.call(key, MS), { name: 'AbortError' }, moment);
    lives = true;
    const all = Array.from({ length: 2 * THREADS }, () => threads.call(key, MS).catch(() => 'lost'));
    // One of them may have been given to the thread in the moment in which it died.
    t.ok((await Promise.all(all)).filter((result) => result === 'fine').length >= 2 * THREADS - 1, moment);
    t.equal(await threads.call(key, MS), 'fine', moment);
  }
});

t.test('a login that hangs holds up no other for long, and is used when it comes', async (t) => {
  let hung: number | null = null;
  const { threads, tell, until } = device(
    t,
    ({ job, thread }) => {
      if (job.do !== 'connect' || (hung !== null && hung !== thread)) return fine;
      hung = thread;
      return null;
    },
    50,
  );
  const first = threads.call(key, MS);
  await until(() => hung !== null);
  t.equal(await threads.call(key, MS), 'fine');
  if (hung === null) throw new Error('nothing hangs');
  tell(hung, fine);
  t.equal(await first, 'fine');
});

t.test('where a token has no session for another thread, those that have one do the work', async (t) => {
  let sessions = 1;
  const { threads, asked } = device(t, ({ job }) => {
    if (job.do !== 'connect' || sessions-- > 0) return fine;
    return { problem: 'CKR_SESSION_COUNT' };
  });
  t.equal(await threads.call(key, MS), 'fine');
  const many = Array.from({ length: 2 * THREADS }, () => threads.call(key, MS));
  t.same(new Set(await Promise.all(many)), new Set(['fine']));
  t.ok(asked.filter(({ job }) => job.do === 'connect').length > 1, 'others have tried');
  t.equal(new Set(asked.filter(({ job }) => job.do !== 'connect').map(({ thread }) => thread)).size, 1);

  const none = device(t, () => ({ problem: 'CKR_SESSION_COUNT' })).threads;
  await t.rejects(none.call(key, MS), { message: 'CKR_SESSION_COUNT' }, 'unless there are none');
});
