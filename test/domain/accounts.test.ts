/** What a login costs and what it may still find out when its hash is done: with a hasher that the test holds. */
import t, { type Test } from 'tap';
import { createAuditLog } from '../../src/adapters/postgres/audit.js';
import { createClientStore } from '../../src/adapters/postgres/client-store.js';
import { createSessionStore } from '../../src/adapters/postgres/session-store.js';
import { createUserStore } from '../../src/adapters/postgres/user-store.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { createAccounts } from '../../src/domain/accounts.js';
import { createClients } from '../../src/domain/clients.js';
import { Refusal } from '../../src/domain/errors.js';
import { createIds } from '../../src/domain/ids.js';
import type { Authenticated } from '../../src/domain/sessions.js';
import type { PasswordHasher } from '../../src/ports/password-hasher.js';
import { fakeClock } from '../support/clock.js';
import { fastDatabase } from '../support/databases.js';
import { execute, rowsOf } from '../support/service.js';

const caller = { ip: '192.0.2.1', place: 'NL', userAgent: null, requestId: null };
const PASSWORD = 'a long walk by the sea';
const invalid = { name: 'Refusal', code: 'invalid_credentials' };

/** Hashes that can be read, a count of the work asked for, and a gate that work can be held at. */
function fakeHasher() {
  const work: string[] = [];
  let gate = Promise.resolve();
  const fake = {
    work,
    rehash: false,
    overloaded: false,
    /** Whoever verifies from now on waits until the result is called. */
    hold(): () => void {
      let open = () => {};
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return open;
    },
    release() {
      gate = Promise.resolve();
    },
  };
  const hasher: PasswordHasher = {
    async hash(password) {
      if (fake.overloaded) throw new Refusal('overloaded');
      work.push('hash');
      return `hash of ${password}`;
    },
    async verify(password, hash) {
      work.push('verify');
      await gate;
      return { ok: hash === `hash of ${password}`, rehash: fake.rehash };
    },
    async verifyNothing() {
      work.push('verify');
      await gate;
    },
    expectedWait: () => 0,
    longestWait: 1_000,
  };
  return { fake, hasher };
}

const database = await fastDatabase(t);
const clock = fakeClock();
const clients = createClients(createClientStore(database), createAuditLog(database), clock, systemRandom);
await clients.seed();

let people = 0;
async function setUp(t: Test) {
  const { fake, hasher } = fakeHasher();
  const email = `person${people++}@example.com`;
  const accounts = createAccounts({
    users: createUserStore(database),
    sessions: createSessionStore(database),
    clients,
    audit: createAuditLog(database),
    hasher,
    acceptPassword: async (password) => password,
    tokens: {
      ensureCanIssue() {},
      issue: async ({ session }) => ({
        response: {
          access_token: '',
          token_type: 'Bearer',
          expires_in: 0,
          refresh_token: '',
          refresh_token_expires_in: 0,
          session_id: session.id,
          scope: '',
        },
        subject: {},
      }),
    },
    guard: {
      password: (_who, attempt) => attempt(),
      ownPassword: (_caller, _session, attempt) => attempt(),
      slow: (_caller, work) => work(),
    },
    devices: { recognise: async () => null, remember: async () => '' },
    revocations: { enforce: async () => {} },
    clock,
    random: systemRandom,
    ids: createIds(clock, systemRandom),
  });
  const user = await accounts.register({ email, password: PASSWORD, caller });
  fake.work.length = 0;
  const login = (password = PASSWORD, address = email) =>
    accounts.login({ email: address, password, clientId: 'default', caller });
  const { response } = await login();
  const who: Authenticated = {
    userId: user.id,
    sessionId: response.session_id,
    clientId: 'default',
    token: {
      sub: user.id,
      aud: ['api'],
      iat: 0,
      exp: 0,
      jti: '',
      sid: response.session_id,
      clientId: 'default',
      scope: '',
      nbf: null,
      roles: null,
    },
    revocation: 'good',
  };
  fake.work.length = 0;
  clock.advance(1);
  const live = async () =>
    (await rowsOf(database, 'sessions', `user_id = '${user.id}' AND revoked_at IS NULL`)).map(({ id }) => id);
  t.strictSame(await live(), [who.sessionId]);
  return { fake, accounts, user, who, login, live };
}

t.test('every refused login costs one hash, whoever it was about', async (t) => {
  const { fake, login, user } = await setUp(t);
  const attempts: Record<string, () => Promise<unknown>> = {
    'a wrong password': () => login('not the password'),
    'an unknown e-mail': () => login(PASSWORD, 'nobody@example.com'),
    'a password that is too long': () => login('x'.repeat(200)),
    'a password that is too long, for nobody': () => login('x'.repeat(200), 'nobody@example.com'),
    'a disabled account': async () => {
      await execute(database, `UPDATE users SET disabled_at = now() WHERE id = '${user.id}'`);
      return login('not the password');
    },
  };
  for (const [name, attempt] of Object.entries(attempts)) {
    const before = (await rowsOf(database, 'audit_events', `event = 'login.failed'`)).length;
    await t.rejects(attempt(), invalid, name);
    t.strictSame(fake.work.splice(0), ['verify'], name);
    const after = (await rowsOf(database, 'audit_events', `event = 'login.failed'`)).length;
    t.equal(after - before, 1, `${name}: and one event`);
  }
});

t.test('a login that is refused before the password is asked costs no hash', async (t) => {
  const { fake, accounts, user } = await setUp(t);
  const request = { email: user.email, password: PASSWORD, caller };
  await t.rejects(accounts.login({ ...request, clientId: 'nobody' }), { code: 'unknown_client' });
  await t.rejects(accounts.login({ ...request, clientId: 'default', audience: 'x' }), { code: 'audience_not_allowed' });
  await t.rejects(accounts.login({ ...request, clientId: 'default', scope: 'x' }), { code: 'scope_not_allowed' });
  t.strictSame(fake.work, []);
});

t.test('a login whose password is changed while it is hashed begins no session', async (t) => {
  const { fake, accounts, who, login, live } = await setUp(t);
  const open = fake.hold();
  const attempt = login();
  // Reading the user is over when the hash is asked for.
  while (fake.work.length === 0) await new Promise((resolve) => setImmediate(resolve));
  fake.release();
  await accounts.changePassword(who, PASSWORD, 'a short walk in the hills', caller);
  open();
  await t.rejects(attempt, invalid);
  t.strictSame(await live(), [who.sessionId]);
  await t.resolves(login('a short walk in the hills'));
});

t.test('a login whose account is disabled while it is hashed begins no session', async (t) => {
  const { fake, user, who, login, live } = await setUp(t);
  const open = fake.hold();
  const attempt = login();
  while (fake.work.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await execute(database, `UPDATE users SET disabled_at = now() WHERE id = '${user.id}'`);
  open();
  await t.rejects(attempt, invalid);
  t.strictSame(await live(), [who.sessionId]);
});

t.test('a change whose password is changed while it is hashed is refused', async (t) => {
  const { fake, accounts, who, login } = await setUp(t);
  const open = fake.hold();
  const attempt = accounts.changePassword(who, PASSWORD, 'a walk that came too late', caller);
  while (fake.work.length === 0) await new Promise((resolve) => setImmediate(resolve));
  fake.release();
  await accounts.changePassword(who, PASSWORD, 'a short walk in the hills', caller);
  clock.advance(1);
  open();
  await t.rejects(attempt, { code: 'wrong_password' });
  await t.resolves(login('a short walk in the hills'));
});

t.test('a right password is let in though there is no time to hash it anew', async (t) => {
  const { fake, user, login } = await setUp(t);
  fake.rehash = true;
  fake.overloaded = true;
  await t.resolves(login());
  fake.overloaded = false;
  await t.resolves(login());
  t.strictSame(fake.work, ['verify', 'verify', 'hash']);
  t.equal((await rowsOf(database, 'users', `id = '${user.id}'`)).length, 1);
});

t.test('too much to do is not a wrong password', async (t) => {
  const { fake, accounts, who } = await setUp(t);
  fake.overloaded = true;
  const email = 'overloaded@example.com';
  await t.rejects(accounts.register({ email, password: PASSWORD, caller }), { code: 'overloaded' });
  await t.rejects(accounts.changePassword(who, PASSWORD, 'a short walk in the hills', caller), { code: 'overloaded' });
  t.strictSame(await rowsOf(database, 'users', `email_key = '${email}'`), []);
});
