import t from 'tap';
import { createClientStore } from '../../src/adapters/postgres/client-store.js';
import { auditEvent } from '../../src/domain/audit.js';
import { type ClientSettings, clientDefaults } from '../../src/domain/clients.js';
import { sha256 } from '../../src/domain/refresh-token.js';
import { type AuditEvent, type Client, instant } from '../../src/domain/types.js';
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
const caller = { ip: null, place: null, userAgent: null, requestId: null };
const by = (event: AuditEvent['event'], clientId: string) =>
  auditEvent(event, 'success', AT, caller, { actor: 'service', clientId });
const created = ({ clientId }: Client) => by('client.created', clientId);

t.test('client store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const store = createClientStore(database);
    const events = async (clientId: string, event = 'client.created') =>
      (await rowsOf(database, 'audit_events', `event = '${event}' AND client_id = '${clientId}'`)).length;

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

    t.test('settings are changed, and nothing else', async (t) => {
      const client = publicClient('changing');
      await store.create(client, created(client));
      const few = { name: 'Another “name”', audiences: ['one', '{two}, "so" called'], renewAfter: 0 };
      const changed = { ...client, ...few };
      t.equal(await store.update(client, changed, by('client.updated', 'changing')), true);
      t.strictSame(await store.find('changing'), changed);
      const all: ClientSettings = {
        ...few,
        scopes: ['read'],
        grants: ['refresh_token'],
        requiredRoles: [],
        accessTokenTtl: 1,
        idleTtl: 2,
        absoluteTtl: 3,
        tokenDelivery: 'header',
        corsOrigins: [],
        anomalyPolicy: 'revoke',
      };
      t.equal(await store.update(changed, all, by('client.updated', 'changing')), true);
      t.strictSame(await store.find('changing'), { ...client, ...all });
      t.equal(await events('changing', 'client.updated'), 2);
    });

    t.test('what browsers meet is told of the clients that they can meet', async (t) => {
      const few = { renewAfter: 7, corsOrigins: ['https://few.example'] };
      const clients = [
        { ...publicClient('with-origins'), ...few },
        { ...publicClient('with-header'), corsOrigins: [], tokenDelivery: 'header' as const },
        { ...publicClient('with-neither'), corsOrigins: [], tokenDelivery: 'body' as const },
      ];
      for (const client of clients) await store.create(client, created(client));
      const found = (await store.ofBrowsers()).filter(({ clientId }) => clientId.startsWith('with-'));
      t.same(
        found.sort((a, b) => (a.clientId < b.clientId ? -1 : 1)).map(({ clientId }) => clientId),
        ['with-header', 'with-origins'],
      );
      t.strictSame(found[1], { clientId: 'with-origins', tokenDelivery: clients[0]?.tokenDelivery, ...few });
    });

    t.test('of ten changes of the same settings at once one is made', async (t) => {
      const client = publicClient('contended');
      await store.create(client, created(client));
      const changes = Array.from({ length: 10 }, (_, i) => ({ ...client, name: `number ${i}` }));
      const results = await Promise.all(
        changes.map((after) => store.update(client, after, by('client.updated', 'contended'))),
      );
      t.equal(results.filter((won) => won).length, 1);
      t.strictSame(await store.find('contended'), changes[results.indexOf(true)]);
      t.equal(await events('contended', 'client.updated'), 1);
    });

    t.test('a secret takes the place of the one before; a public client gets none', async (t) => {
      for (const client of [confidentialClient('rotating'), publicClient('secretless')])
        await store.create(client, created(client));
      t.equal(await store.setSecret('rotating', sha256('next'), by('client.secret_rotated', 'rotating')), true);
      t.strictSame(new Uint8Array((await store.find('rotating'))?.secretHash ?? []), new Uint8Array(sha256('next')));
      t.equal(await store.setSecret('secretless', sha256('x'), by('client.secret_rotated', 'secretless')), false);
      t.strictSame(
        [await events('rotating', 'client.secret_rotated'), await events('secretless', 'client.secret_rotated')],
        [1, 0],
      );
    });

    t.test('a deleted client is gone', async (t) => {
      const client = publicClient('doomed');
      await store.create(client, created(client));
      t.equal(await store.delete('doomed', by('client.deleted', 'doomed')), 0);
      t.equal(await store.find('doomed'), null);
      t.strictSame([await events('doomed'), await events('doomed', 'client.deleted')], [1, 1]);
    });

    t.test('nothing is stored about a client that is not there', async (t) => {
      const event = by('client.updated', 'nobody');
      t.strictSame(
        [
          await store.update(publicClient('nobody'), publicClient('nobody'), event),
          await store.setSecret('nobody', sha256('x'), event),
          await store.delete('nobody', event),
        ],
        [false, false, null],
      );
      t.equal(await events('nobody', 'client.updated'), 0);
    });

    t.test('a list has every client once, in parts of any size', async (t) => {
      const all = await store.list(null, 1000);
      const parts: Client[] = [];
      for (let part = await store.list(null, 2); part.length > 0; ) {
        parts.push(...part);
        part = await store.list(part.at(-1)?.clientId ?? null, 2);
      }
      t.strictSame(parts, all);
      t.equal(all.length, (await rowsOf(database, 'clients')).length);
    });
  }),
);
