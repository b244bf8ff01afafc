/** A refresh that fails at one of its steps: the retry succeeds, and the session has moved on by one generation. */
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { availability } from '../../src/adapters/postgres/availability.js';
import type { Database } from '../../src/adapters/postgres/database.js';
import { Refusal } from '../../src/domain/errors.js';
import { isProblem } from '../support/answers.js';
import { fastDatabase } from '../support/databases.js';
import { generationOf } from '../support/process.js';
import { codeOf, rowOf, rowsOf, startService } from '../support/service.js';

type Step = 'session_rotate' | 'session_find' | 'session_end';

/** A call of a statement that fails: before the server has it, or when it is done and only the answer is lost. */
interface Fault {
  step: Step;
  when: 'before' | 'after';
  error: Error;
}

/** The database, where the next calls of these statements fail one after the other, as the driver makes them fail. */
function breakable(database: Database) {
  let faults: Fault[] = [];
  const query: Database['query'] = async (statement, values) => {
    const [fault] = faults;
    if (fault?.step !== statement.name) return database.query(statement, values);
    faults = faults.slice(1);
    if (fault.when === 'after') await database.query(statement, values);
    throw fault.error;
  };
  return {
    database: availability({ ...database, query }),
    failNext(...next: Fault[]) {
      faults = next;
    },
    pending: () => faults.length,
  };
}

const failing = (message: string, code?: string): Error => Object.assign(new Error(message), code && { code });

/** What pg says of a connection or a server that is lost; some before, some in the middle of a statement. */
const errors: Record<string, Error> = {
  'the connection breaks': failing('Connection terminated unexpectedly'),
  'the connection is reset': failing('read ECONNRESET', 'ECONNRESET'),
  'the server shuts down': failing('terminating connection due to administrator command', '57P01'),
  'the server does not answer': failing('Query read timeout'),
};
const broken = errors['the connection breaks'] ?? failing('');

const { database, failNext, pending } = breakable(await fastDatabase(t));
const service = await startService(t, { database });
const { clock, refresh } = service;
await service.register();

/** Of an access token: as long a repeated answer brings the same one. Seconds. */
const HALF_LIFE_S = 450;
const HOUR = 3600;

const jtiOf = (token: string) => decodeJwt(token).jti;
const outcomeOf = (response: { headers: Record<string, unknown> }) => response.headers['keyturn-refresh-outcome'];
const sessionRow = (id: string) => rowOf(database, 'sessions', `id = '${id}'`);

/** A session in its generation 1, so that there is one before. */
async function begun() {
  const { refresh_token: first, session_id: id } = await service.login();
  const token: string = (await refresh(first, 'the-first')).json().refresh_token;
  clock.advance(60);
  return { token, id };
}

interface Retry {
  key?: string;
  /** Seconds after the last failure. */
  after?: number;
  outcome: 'rotated' | 'replayed' | 'concurrent';
}

/** The retry of generation 1's token is answered with generation 2, the same however often, and the session goes on. */
async function retrySucceeds(
  t: Test,
  { token, id }: { token: string; id: string },
  { key, after = 0, outcome }: Retry,
) {
  clock.advance(after);
  const retry = await refresh(token, key);
  t.equal(retry.statusCode, 200, 'the retry succeeds');
  t.equal(outcomeOf(retry), outcome);
  const tokens = retry.json();
  t.equal(generationOf(tokens.refresh_token), 2);
  t.match(await sessionRow(id), { generation: 2, revoked_at: null });
  const again = (await refresh(token, key)).json();
  t.equal(again.refresh_token, tokens.refresh_token, 'another retry gets the same refresh token');
  const isYoung = outcome === 'rotated' || after < HALF_LIFE_S;
  t.equal(
    jtiOf(again.access_token) === jtiOf(tokens.access_token),
    isYoung,
    'and the same access token while it is young',
  );
  t.equal((await service.get('/v1/me', tokens.access_token)).statusCode, 200, 'the access token is good');
  const next = await refresh(tokens.refresh_token, 'the-next');
  t.equal(outcomeOf(next), 'rotated', 'and so is the refresh token');
  t.equal(generationOf(next.json().refresh_token), 3);
  return tokens;
}

/** What fails, request by request, and how the request after them is answered. */
const interruptions: Record<string, { faults: [Step, Fault['when']][]; retries: Retry[] }> = {
  'before the rotation': {
    faults: [['session_rotate', 'before']],
    retries: [
      { key: 'k', after: HOUR, outcome: 'rotated' },
      { after: HOUR, outcome: 'rotated' },
    ],
  },
  'after the rotation, before its commit is seen': {
    faults: [['session_rotate', 'after']],
    retries: [
      { key: 'k', outcome: 'replayed' },
      { key: 'k', after: 72 * HOUR, outcome: 'replayed' },
      { after: 9, outcome: 'concurrent' },
    ],
  },
  'and the retry before it has read the row again': {
    faults: [
      ['session_rotate', 'after'],
      ['session_find', 'before'],
    ],
    retries: [{ key: 'k', after: HOUR, outcome: 'replayed' }, { outcome: 'concurrent' }],
  },
  'again and again, at one step after the other': {
    faults: [
      ['session_rotate', 'before'],
      ['session_rotate', 'after'],
      ['session_rotate', 'before'],
      ['session_rotate', 'after'],
      ['session_find', 'before'],
      ['session_find', 'after'],
    ],
    retries: [{ key: 'k', after: HOUR, outcome: 'replayed' }],
  },
};

for (const [name, { faults, retries }] of Object.entries(interruptions)) {
  for (const [how, error] of Object.entries(faults.length === 1 ? errors : { 'the connection breaks': broken })) {
    t.test(`${how} ${name}`, async (t) => {
      for (const retry of retries) {
        const session = await begun();
        failNext(...faults.map(([step, when]) => ({ step, when, error })));
        while (pending() > 0) {
          const failed = await refresh(session.token, retry.key);
          isProblem(t, failed, 503, 'store_unavailable');
          t.equal(failed.headers['retry-after'], '1');
        }
        await retrySucceeds(t, session, retry);
      }
    });
  }
}

t.test('the answer is lost on its way', async (t) => {
  for (const retry of [
    { key: 'k', after: 449, outcome: 'replayed' },
    { after: 9, outcome: 'concurrent' },
  ] as const) {
    const session = await begun();
    const lost = (await refresh(session.token, retry.key)).json();
    const { expires_in: _, refresh_token_expires_in: __, ...tokens } = await retrySucceeds(t, session, retry);
    t.match(lost, tokens, 'the retry brings the tokens that were lost');
  }
});

/** Lets the next signature fail; resolves to what was to be signed. */
function failToSign(error: Error): Promise<Buffer> {
  const { keys } = service.services;
  const { signingKey } = keys;
  return new Promise((resolve) => {
    keys.signingKey = () => ({
      ...signingKey(),
      handle: {
        problem: () => null,
        check() {},
        async sign(input) {
          keys.signingKey = signingKey;
          resolve(Buffer.from(input));
          throw error;
        },
      },
    });
  });
}

t.test('signing fails', async (t) => {
  for (const retry of [
    { key: 'k', outcome: 'replayed' },
    { key: 'k', after: 72 * HOUR, outcome: 'replayed' },
    { after: 9, outcome: 'concurrent' },
  ] as const) {
    const session = await begun();
    const unsigned = failToSign(failing('error:02000070:rsa routines::digest too big for rsa key'));
    const failed = await refresh(session.token, retry.key);
    isProblem(t, failed, 503, 'signing_key_unavailable');
    t.equal(failed.headers['retry-after'], '1');
    const { access_token: token } = await retrySucceeds(t, session, retry);
    const isYoung = !('after' in retry) || retry.after < HALF_LIFE_S;
    t.equal(
      jtiOf(token) === jtiOf(`${await unsigned}.`),
      isYoung,
      'with the access token that was not signed, if young',
    );
  }
  const { logs } = service;
  t.match(logs.filter(({ msg }) => msg === 'refused for a reason of our own').at(-1), {
    code: 'signing_key_unavailable',
  });
});

t.test('the signing key is gone between the rotation and the signature', async (t) => {
  const session = await begun();
  const { keys } = service.services;
  const { signingKey } = keys;
  let asked = 0;
  keys.signingKey = () => {
    if (++asked < 2) return signingKey();
    keys.signingKey = signingKey;
    throw new Refusal('signing_key_unavailable', { retryAfter: 30 });
  };
  isProblem(t, await refresh(session.token, 'k'), 503, 'signing_key_unavailable');
  t.match(await sessionRow(session.id), { generation: 2 });
  await retrySucceeds(t, session, { key: 'k', after: HOUR, outcome: 'replayed' });
});

t.test('the answer to one of many parallel requests is lost', async (t) => {
  const session = await begun();
  failNext({ step: 'session_rotate', when: 'after', error: broken });
  const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(session.token, 'k')));
  t.same(answers.map(({ statusCode }) => statusCode).sort(), [...Array(9).fill(200), 503]);
  t.equal(new Set(answers.flatMap((one) => one.json().refresh_token ?? [])).size, 1);
  await retrySucceeds(t, session, { key: 'k', outcome: 'replayed' });
});

t.test('a session that a reuse ends is ended before anybody is told so', async (t) => {
  for (const [when, code] of [
    ['before', 'refresh_token_reused'],
    ['after', 'session_revoked'],
  ] as const) {
    const { token, id } = await begun();
    const { refresh_token: next } = (await refresh(token, 'k')).json();
    clock.advance(60);
    failNext({ step: 'session_end', when, error: broken });
    isProblem(t, await refresh(token, 'a-thief'), 503, 'store_unavailable');
    t.equal((await sessionRow(id)).revoked_at === null, when === 'before');
    t.equal(codeOf(await refresh(token, 'a-thief')), code);
    t.equal(codeOf(await refresh(next, 'the-owner')), 'session_revoked');
    const told = await rowsOf(database, 'audit_events', `session_id = '${id}' AND event = 'refresh.reused'`);
    t.equal(told.length, 1, 'and told of once');
  }
});
