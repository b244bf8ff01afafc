import t from 'tap';
import { startService } from '../support/service.js';

t.test('a registered person logs in', async (t) => {
  const { register, login, get } = await startService(t);
  await register();
  const tokens = await login();
  t.match(tokens, { token_type: 'Bearer', expires_in: 900, scope: '' });
  t.equal((await get('/v1/me', tokens.access_token)).statusCode, 200);
});
