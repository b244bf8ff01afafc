import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { load } from '../../bench/http-load.js';

const SECONDS = 20;
const request = () => 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';

/** Closes the connection of the request whose turn it is, and goes on answering all others. */
async function startClosing(t: Test, turn: number) {
  let requests = 0;
  const server = createServer((request, response) => {
    if (++requests === turn) request.socket.destroy();
    else response.end('yes');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const connections = () =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  return { port: (server.address() as AddressInfo).port, connections };
}

t.test('a load of which one connection fails has failed, and loads nothing any more', async (t) => {
  const { port, connections } = await startClosing(t, 50);
  const begun = performance.now();
  await t.rejects(load({ port, connections: 4, seconds: SECONDS, request }), /the connection was closed/);
  t.ok(performance.now() - begun < (SECONDS * 1000) / 2, 'at once, not when its time is over');
  // What was closed on the one side may be on its way to the other.
  for (let looks = 0; looks < 100 && (await connections()) > 0; looks++) await new Promise(setImmediate);
  t.equal(await connections(), 0);
});
