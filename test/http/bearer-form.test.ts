/** Forged headers, spellings, algorithms, keys and claims (RFC 8725): every one has its code, and none gets in. */
import t from 'tap';
import { isBearerRefusal } from '../support/answers.js';
import { attacks, startTrap } from '../support/attacks.js';
import { ACCEPTED } from '../support/attacks-rows.js';
import { createForge } from '../support/forge.js';
import { startService, testKeks } from '../support/service.js';

const keks = testKeks();
const service = await startService(t, { keks });
await service.register();
const { access_token: genuine } = await service.login();
const forge = await createForge(service, keks, genuine);
const trap = await startTrap(t);

for (const [name, table] of Object.entries(attacks(forge, trap.url))) {
  t.test(name, async (t) => {
    for (const { name, token, expect } of table) {
      const response = await service.get('/v1/me', token);
      if (expect === ACCEPTED) t.equal(response.statusCode, 200, name);
      else isBearerRefusal(t, response, expect, name);
    }
  });
}

t.test('nothing was fetched for any of them', async (t) => {
  t.equal(trap.fetched(), 0);
});
