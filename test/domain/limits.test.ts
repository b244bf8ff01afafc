import t from 'tap';
import { createInProcessLimiter } from '../../src/adapters/in-process/attempt-limiter.js';
import type { Block } from '../../src/domain/blocks.js';
import type { DeviceId } from '../../src/domain/devices.js';
import { Refusal } from '../../src/domain/errors.js';
import { createGuard, networkOf } from '../../src/domain/limits.js';
import type { SessionId } from '../../src/domain/types.js';
import { noLimit } from '../../src/ports/attempt-limiter.js';
import { fakeClock } from '../support/clock.js';

const from = (ip: string) => ({ ip, place: null, userAgent: null, requestId: null });
const caller = from('192.0.2.1');
const laptop = 'laptop' as DeviceId;
const at = (ip: string, device: DeviceId | null = null) => ({ caller: from(ip), emailKey: 'ada@example.com', device });

function guardOf({ address = 0, account = 0, width = Number.POSITIVE_INFINITY }) {
  const clock = fakeClock();
  const began: Block[] = [];
  const slowing = { failures: account, window: 900, block: 1, longestBlock: 900 };
  const limiters = {
    address: address === 0 ? noLimit : createInProcessLimiter({ failures: address, window: 60, block: 300 }, clock),
    account: createInProcessLimiter(slowing, clock),
    device: createInProcessLimiter(slowing, clock),
  };
  return {
    clock,
    began,
    guard: createGuard({ limiters, width, clock, blocks: { began: (block) => began.push(block) } }),
  };
}

const wrong = async (): Promise<never> => {
  throw new Refusal('invalid_credentials');
};
const right = async () => 'in';
const codeOf = (attempt: Promise<unknown>): Promise<unknown> => attempt.catch((error: Refusal) => error.code);

t.test('guesses that are sent at once are not answered beyond the limit, the right one included', async (t) => {
  const { guard } = guardOf({ address: 3 });
  const guesses = ['no', 'no', 'no', 'no', 'yes', 'no'].map((outcome) => {
    let finish = () => {};
    const hashed = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const answer = guard.secret(caller, async () => {
      await hashed;
      if (outcome === 'no') throw new Refusal('invalid_credentials');
      return outcome;
    });
    return { answer: codeOf(answer), finish: () => finish() };
  });
  const answers: unknown[] = [];
  for (const { answer, finish } of guesses) {
    finish();
    answers.push(await answer);
  }
  const [failed, blocked] = ['invalid_credentials', 'too_many_attempts'];
  t.strictSame(answers, [failed, failed, failed, blocked, blocked, blocked]);
});

t.test('of 500 passwords that are sent at once no more are hashed than the limit allows', async (t) => {
  const { guard, began } = guardOf({ address: 5, width: 5 });
  let hashed = 0;
  const answers = await Promise.all(
    Array.from({ length: 500 }, () =>
      codeOf(
        guard.password(at('192.0.2.1'), async () => {
          hashed++;
          return wrong();
        }),
      ),
    ),
  );
  t.equal(answers.filter((code) => code === 'invalid_credentials').length, 5);
  t.equal(answers.filter((code) => code === 'too_many_attempts').length, 495);
  t.equal(hashed, 5);
  t.equal(began.length, 1);
});

t.test('whoever waits for his turn for longer than anybody waits for an answer is not checked any more', async (t) => {
  const { guard, clock } = guardOf({ address: 5, width: 1 });
  let checked = 0;
  let finish = () => {};
  const first = guard.password(
    at('192.0.2.1'),
    () =>
      new Promise<string>((resolve) => {
        finish = () => resolve('in');
      }),
  );
  const later = Array.from({ length: 3 }, () => codeOf(guard.password(at('192.0.2.1'), async () => ++checked)));
  await new Promise(setImmediate);
  clock.advance(10.5);
  finish();
  t.equal(await first, 'in', 'what was begun is ended');
  t.strictSame(await Promise.all(later), ['overloaded', 'overloaded', 'overloaded']);
  t.equal(checked, 0);
  t.equal(await guard.password(at('192.0.2.1'), right), 'in', 'who comes now is served');
});

t.test('what is slow is done for one address only so much at once, and another does not wait for it', async (t) => {
  const { guard } = guardOf({ address: 5, width: 2 });
  const running: string[] = [];
  const finish: (() => void)[] = [];
  const work = (ip: string) =>
    guard.slow(from(ip), () => {
      running.push(ip);
      return new Promise<void>((resolve) => finish.push(resolve));
    });
  const all = ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2'].map(work);
  await new Promise(setImmediate);
  t.strictSame(running, ['192.0.2.1', '192.0.2.1', '192.0.2.2']);
  t.equal(await guard.password(at('192.0.2.1'), right), 'in', 'nor does a password from there');
  while (finish.length > 0) {
    finish.shift()?.();
    await new Promise(setImmediate);
  }
  await Promise.all(all);
  t.equal(running.length, 5);
});

t.test(
  'whoever has many devices and sessions has no more checked at once, and makes nobody elsewhere wait',
  async (t) => {
    const { guard } = guardOf({ address: 5, width: 2 });
    let running = 0;
    const finish: (() => void)[] = [];
    const slow = () => {
      running++;
      return new Promise<void>((resolve) => finish.push(resolve));
    };
    const all = Array.from({ length: 10 }, (_, n) => [
      guard.password(at('192.0.2.1', `device ${n}` as DeviceId), slow),
      guard.ownPassword(caller, `session ${n}` as SessionId, slow),
    ]).flat();
    await new Promise(setImmediate);
    t.equal(running, 2);
    t.equal(await guard.password(at('192.0.2.2', laptop), right), 'in', 'a device elsewhere');
    t.equal(await guard.ownPassword(from('192.0.2.2'), 'session' as SessionId, right), 'in', 'a session elsewhere');
    t.equal(await guard.password(at('192.0.2.1'), right), 'in', 'a stranger there');
    while (finish.length > 0) {
      finish.shift()?.();
      await new Promise(setImmediate);
    }
    await Promise.all(all);
    t.equal(running, 20, 'each has had his turn');
  },
);

t.test('nor where some take longer than others', async (t) => {
  const { guard } = guardOf({ address: 5, width: 5 });
  let hashed = 0;
  const guess = async () => {
    for (let n = hashed++; n > 0; n--) await new Promise(setImmediate);
    return wrong();
  };
  const answers = await Promise.all(Array.from({ length: 50 }, () => codeOf(guard.password(at('192.0.2.1'), guess))));
  t.equal(answers.filter((code) => code === 'invalid_credentials').length, 5);
  t.equal(hashed, 5);
});

t.test('a wrong password takes nobody’s turn for ever', async (t) => {
  const { guard } = guardOf({ width: 2 });
  const answers = Array.from({ length: 20 }, (_, i) => codeOf(guard.password(at('192.0.2.1'), i % 3 ? right : wrong)));
  t.equal((await Promise.all(answers)).filter((answer) => answer === 'in').length, 13);
});

t.test('nor for one account, from however many addresses', async (t) => {
  const { guard } = guardOf({ account: 10, width: 5 });
  let hashed = 0;
  const guess = (_: unknown, i: number) =>
    guard.password(at(`198.51.${i >> 8}.${i & 255}`), async () => {
      hashed++;
      return wrong();
    });
  const answers = await Promise.all(Array.from({ length: 500 }, guess).map(codeOf));
  t.equal(answers.filter((code) => code === 'invalid_credentials').length, 10);
  t.ok(hashed < 10 + 5, `${hashed} hashes`);
});

t.test('people behind one address who give the right password wait for one another, and all get in', async (t) => {
  const { guard } = guardOf({ address: 5, width: 5 });
  let most = 0;
  let running = 0;
  const login = async () => {
    most = Math.max(most, ++running);
    await new Promise(setImmediate);
    running--;
    return 'in';
  };
  const answers = await Promise.all(Array.from({ length: 50 }, () => guard.password(at('192.0.2.1'), login)));
  t.ok(answers.every((answer) => answer === 'in'));
  t.equal(most, 5);
});

t.test('failures at an account from all addresses slow it down, and each one more than the last', async (t) => {
  const { guard, clock, began } = guardOf({ account: 3 });
  let address = 0;
  const guess = (attempt: () => Promise<unknown> = wrong) =>
    codeOf(guard.password(at(`192.0.2.${++address}`), attempt));
  for (let i = 0; i < 3; i++) t.equal(await guess(), 'invalid_credentials');
  for (const delay of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]) {
    t.match(await guard.password(at('198.51.100.1'), right).catch((error) => error), { retryAfter: delay });
    clock.advance(delay);
    t.equal(await guess(), 'invalid_credentials');
  }
  clock.advance(900);
  t.equal(await guess(right), 'in', 'the owner, between two of them');
  t.equal(began.length, 13);
  t.notMatch(JSON.stringify(began), 'ada@example.com');
});

t.test('a device that is known is not slowed down by strangers, nor blocked with its address', async (t) => {
  const { guard } = guardOf({ address: 3, account: 3 });
  for (let i = 0; i < 5; i++) await codeOf(guard.password(at('192.0.2.1'), wrong));
  t.equal(await codeOf(guard.password(at('192.0.2.1'), right)), 'too_many_attempts');
  t.equal(await codeOf(guard.password(at('192.0.2.2'), right)), 'too_many_attempts');
  t.equal(await guard.password(at('192.0.2.1', laptop), right), 'in');

  for (let i = 0; i < 3; i++)
    t.equal(await codeOf(guard.password(at('192.0.2.1', laptop), wrong)), 'invalid_credentials');
  t.equal(await codeOf(guard.password(at('192.0.2.3', laptop), right)), 'too_many_attempts', 'it may not guess either');
  t.equal(await guard.password(at('192.0.2.3', 'phone' as DeviceId), right), 'in');
});

t.test(
  'whoever has a session may give his password at a blocked address, and guess no more than a device',
  async (t) => {
    const { guard } = guardOf({ address: 3, account: 3 });
    const own = (attempt: () => Promise<unknown>, ip = '192.0.2.1', session = 'his' as SessionId) =>
      codeOf(guard.ownPassword(from(ip), session, attempt));
    for (let i = 0; i < 3; i++) await codeOf(guard.password(at('192.0.2.1'), wrong));
    t.equal(await own(right), 'in');
    const [blocked, told] = ['too_many_attempts', 'invalid_credentials'];
    const guesses = [await own(wrong), await own(wrong), await own(wrong), await own(right)];
    t.strictSame(guesses, [blocked, blocked, blocked, blocked], 'guesses are refused there, and counted all the same');
    t.equal(await own(right, '192.0.2.2'), blocked, 'wherever the session is used');

    const others = ['one', 'two', 'three'].map((session) => own(wrong, '192.0.2.3', session as SessionId));
    t.strictSame(await Promise.all(others), [told, told, told]);
    t.equal(await codeOf(guard.secret(from('192.0.2.3'), right)), blocked, 'they are counted for the address, too');
  },
);

t.test('a genuine token is nobody’s business, and of a bad one the caller is asked after', async (t) => {
  const { guard } = guardOf({ address: 1 });
  const nobody = () => {
    throw new Error('asked');
  };
  t.equal(await guard.token(nobody, right), 'in');
  for (const code of ['token_expired', 'token_revoked', 'token_missing', 'refresh_token_reused'] as const) {
    const refused = guard.token(nobody, async () => {
      throw new Refusal(code);
    });
    t.equal(await codeOf(refused), code);
  }
  const forged = async () => {
    throw new Refusal('invalid_signature');
  };
  t.equal(await codeOf(guard.token(() => caller, forged)), 'invalid_signature');
  t.equal(await codeOf(guard.token(() => caller, forged)), 'too_many_attempts');
  t.equal(await guard.token(nobody, right), 'in');
});

t.test('one network is one, however it is written', async (t) => {
  const same: Record<string, readonly string[]> = {
    '192.0.2.1': ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201', '0:0:0:0:0:FFFF:192.0.2.1', '64:ff9b::192.0.2.1'],
    '192.0.2.2': ['64:ff9b::c000:202'],
    '2001:db8:1:2::/64': ['2001:db8:1:2::1', '2001:DB8:1:2:ffff:ffff:ffff:ffff', '2001:0db8:0001:0002:0:0:0:0'],
    '2001:db8:1:3::/64': ['2001:db8:1:3::1'],
    'fe80::/64': ['fe80::1%eth0', 'fe80::1'],
    '::/64': ['::1'],
    unknown: ['', 'unknown', '192.0.2.1, 198.51.100.1', 'x'.repeat(3000), '::1::', '2001:db8::/32', '1.2.3.4:80'],
  };
  for (const [network, addresses] of Object.entries(same)) {
    for (const address of addresses) t.equal(networkOf(address), network, address.slice(0, 50));
  }
});
