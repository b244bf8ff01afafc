import t from 'tap';
import { createClientStore } from '../../src/adapters/postgres/client-store.js';
import { auditEvent } from '../../src/domain/audit.js';
import { clientDefaults } from '../../src/domain/clients.js';
import { sha256 } from '../../src/domain/refresh-token.js';
import { type Client, instant } from '../../src/domain/types.js';
import { onEachDatabase } from '../support/databases.js';
import { rowsOf } from '../support/service.js';

const AT = instant(Date.UTC(2026, 2, 1, 12, 0, 0, 251));

const publicClient = (clientId: string): Client => ({
  ...clientDefaults,
  clientId,
  name: 'A “public” client',
  type: 'public',
  secretHash: null,
  audiences: ['api', 'an odd, {one}'],
  scopes: [],
  grants: ['password', 'refresh_token'],
  requiredRoles: ['admin'],
  corsOrigins: ['https://app.example.com'],
  createdAt: AT,
});
const confidentialClient = (clientId: string): Client => ({
  ...publicClient(clientId),
  type: 'confidential',
  secretHash: sha256(clientId),
  grants: ['client_credentials'],
  accessTokenTtl: 60,
  idleTtl: 61,
  absoluteTtl: 62,
  tokenDelivery: 'header',
  renewAfter: 0,
});
const created = ({ clientId }: Client) =>
  auditEvent(
    'client.created',
    'success',
    AT,
    { ip: null, place: null, userAgent: null, requestId: null },
    { actor: 'service', clientId },
  );

t.test('client store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const store = createClientStore(database);
    const events = async (clientId: string) =>
      (await rowsOf(database, 'audit_events', `event = 'client.created' AND client_id = '${clientId}'`)).length;

    t.test('a client comes back as it was stored', async (t) => {
      for (const client of [publicClient('web'), confidentialClient('billing')]) {
        t.equal(await store.create(client, created(client)), true);
        const found = await store.find(client.clientId);
        t.strictSame(found && { ...found, secretHash: found.secretHash && new Uint8Array(found.secretHash) }, client);
        t.equal(await events(client.clientId), 1);
      }
    });

    t.test('a client that is not there is null, to the letter', async (t) => {
      for (const clientId of ['', 'Web', 'web ', `' OR '1'='1`]) t.equal(await store.find(clientId), null);
    });

    t.test('an id that is taken stores nothing, nor an event', async (t) => {
      const first = publicClient('taken');
      await store.create(first, created(first));
      const second = confidentialClient('taken');
      t.equal(await store.create(second, created(second)), false);
      t.strictSame(await store.find('taken'), first);
      t.equal(await events('taken'), 1);
    });

    t.test('of ten concurrent creations of one id exactly one wins', async (t) => {
      const clients = Array.from({ length: 10 }, (_, i) => ({ ...publicClient('race'), name: `number ${i}` }));
      const results = await Promise.all(clients.map((client) => store.create(client, created(client))));
      t.equal(results.filter((won) => won).length, 1);
      t.strictSame(await store.find('race'), clients[results.indexOf(true)]);
      t.equal(await events('race'), 1);
    });

    t.test('a confidential client without a secret, or a public one with it, is not stored', async (t) => {
      for (const client of [
        { ...confidentialClient('wrong'), secretHash: null },
        { ...publicClient('wrong'), secretHash: sha256('x') },
        { ...publicClient('wrong'), audiences: [] },
      ]) {
        await t.rejects(store.create(client, created(client)), { name: 'DatabaseFault' });
      }
      t.equal(await store.find('wrong'), null);
      t.equal(await events('wrong'), 0);
    });
  }),
);
