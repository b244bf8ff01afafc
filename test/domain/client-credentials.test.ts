import t from 'tap';
import { systemRandom } from '../../src/adapters/system/random.js';
import { createIssueToClient } from '../../src/domain/client-credentials.js';
import { createClients, makeClient } from '../../src/domain/clients.js';
import { createIds } from '../../src/domain/ids.js';
import { seconds } from '../../src/domain/types.js';
import { fakeClock } from '../support/clock.js';

t.test('a token is as old as the proof: what revokes the client in between concerns it', async (t) => {
  const clock = fakeClock();
  const { client, secret } = makeClient(
    { clientId: 'billing', name: 'Billing', type: 'confidential', audiences: ['ledger'] },
    clock.now(),
    systemRandom,
  );
  const store = {
    create: async () => true,
    async find() {
      clock.advance(2);
      return client;
    },
  };
  const issued: number[] = [];
  const accessTokens = {
    ensureCanIssue() {},
    async issue({ iat }: { iat: number }) {
      issued.push(iat);
      return 'token';
    },
  };
  const asked = clock.now();
  const audit = { append: async () => {} };
  const nowhere = { ip: null, place: null, userAgent: null, requestId: null };
  const proved = await createClients(store, audit, clock, systemRandom).authenticate('billing', secret ?? '', nowhere);
  clock.advance(5);
  await createIssueToClient(accessTokens, createIds(clock, systemRandom))(proved, {});
  t.same(issued, [seconds(asked)]);
});
