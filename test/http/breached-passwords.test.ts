import t from 'tap';
import type { UserId } from '../../src/domain/types.js';
import { AT_THE_CONSOLE } from '../support/administrator.js';
import { codeOf, PASSWORD, startService } from '../support/service.js';

const BREACHED = 'correct horse battery';

t.test('a password that is known from a breach is not taken, by whatever way it comes', async (t) => {
  const asked: string[] = [];
  const service = await startService(t, {
    breachedPasswords: {
      async has(password) {
        asked.push(password);
        return password === BREACHED;
      },
    },
  });
  const { post, register, login } = service;
  const id = (await register()) as UserId;
  const { access_token: token } = await login();
  const { users } = service.services.administration;
  const refused = await post('/v1/users', { email: 'grace@example.com', password: BREACHED });
  t.same([refused.statusCode, codeOf(refused), refused.json().reasons], [422, 'password_rejected', ['breached']]);
  const change = { current_password: PASSWORD, new_password: BREACHED };
  const changed = await post('/v1/me/password', change, { authorization: `Bearer ${token}` });
  t.same([changed.statusCode, changed.json().reasons], [422, ['breached']]);
  const rejected = { code: 'password_rejected', extra: { reasons: ['breached'] } };
  await t.rejects(users.create({ email: 'x@example.com', password: BREACHED, roles: [] }, AT_THE_CONSOLE), rejected);
  await t.rejects(users.setPassword(id, BREACHED, AT_THE_CONSOLE), rejected);
  t.equal((await post('/v1/login', { email: 'ada@example.com', password: PASSWORD })).statusCode, 200);

  asked.splice(0);
  await post('/v1/users', { email: 'y@example.com', password: 'short' });
  t.same(asked, [], 'nobody is asked about what is refused anyway');
  await post('/v1/users', { email: 'z@example.com', password: 'ﬁve words of some length' });
  t.same(asked, ['five words of some length'], 'it is asked about as it is stored');
});
