import t from 'tap';
import { createClientDirectory } from '../../src/domain/client-directory.js';
import type { BrowserClient } from '../../src/ports/client-store.js';

const client = (clientId: string, more: Partial<BrowserClient> = {}): BrowserClient => ({
  ...{ clientId, tokenDelivery: 'body', renewAfter: 60, corsOrigins: [] },
  ...more,
});

t.test('tells what it has read, and goes on with it where it cannot read again', async (t) => {
  let clients: BrowserClient[] | null = [
    client('shop', { corsOrigins: ['https://a.example', 'https://b.example'] }),
    client('web', { tokenDelivery: 'header', renewAfter: 0 }),
  ];
  const directory = createClientDirectory({
    async ofBrowsers() {
      if (clients === null) throw new Error('away');
      return clients;
    },
  });
  t.notOk(directory.hasOrigin('https://a.example'), 'nothing before it has read');
  await directory.load();
  const said = () => [
    directory.hasOrigin('https://a.example'),
    directory.hasOrigin('https://c.example'),
    directory.renewAfter('web'),
    directory.renewAfter('shop'),
    directory.renewAfter('constructor'),
  ];
  t.same(said(), [true, false, 0, null, null]);
  clients = null;
  await t.rejects(directory.load());
  t.same(said(), [true, false, 0, null, null]);
  clients = [];
  await directory.load();
  t.same(said(), [false, false, null, null, null]);
});
