/** The bad network that other tests rely on does what it says. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { type Faults, startFaultProxy } from '../support/fault-proxy.js';
import { eventually } from '../support/process.js';
import { freePort } from '../support/servers.js';

const SEED = 7;
const AGENTS = ['close', 'keep-alive'];

/** A server that answers with the number of requests it has had. */
async function startServer(t: Test) {
  const heard: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    heard.push(body);
    response.end(String(heard.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close().closeAllConnections());
  return { port: (server.address() as AddressInfo).port, heard };
}

/** A proxy in front of two servers; `ask` resolves with the answer, or with 'cut' where there was none. */
async function startAll(t: Test, faults: Faults) {
  const servers = [await startServer(t), await startServer(t)];
  const proxy = await startFaultProxy(t, { upstreams: () => servers.map(({ port }) => port), faults, seed: SEED });
  const ask = (body: string, connection = 'close') =>
    fetch(proxy.url, { method: 'POST', body, headers: { connection } }).then(
      (response) => response.text(),
      () => 'cut',
    );
  return { proxy, ask, heard: () => servers.flatMap((server) => server.heard) };
}

for (const agent of AGENTS) {
  t.test(`with connections that are ${agent}`, async (t) => {
    await t.test('without faults every request is passed on to one of the servers', async (t) => {
      const { proxy, ask, heard } = await startAll(t, {});
      const bodies = Array.from({ length: 20 }, (_, i) => `${i}`);
      const answers = await Promise.all(bodies.map((body) => ask(body, agent)));
      t.notOk(answers.includes('cut'));
      t.same(heard().sort(), bodies.sort());
      t.match(proxy.counts, { requests: 20, unreachable: 0 });
    });

    await t.test('a delayed request is answered', async (t) => {
      const { proxy, ask } = await startAll(t, { delay: { p: 1, ms: 5 } });
      t.equal(await ask('a', agent), '1');
      t.equal(proxy.counts.delay, 1);
    });

    await t.test('a response is dropped after the server has done its work', async (t) => {
      const { proxy, ask, heard } = await startAll(t, { dropResponse: 1 });
      t.equal(await ask('a', agent), 'cut');
      t.same(heard(), ['a']);
      t.equal(proxy.counts.dropResponse, 1);
    });

    await t.test('a connection that is cut before the request leaves nothing at the server', async (t) => {
      const { proxy, ask, heard } = await startAll(t, { cutBefore: 1 });
      t.equal(await ask('a', agent), 'cut');
      t.same(heard(), []);
      t.equal(proxy.counts.cutBefore, 1);
      proxy.calm();
      t.equal(await ask('b', agent), '1', 'and nothing arrives after it');
    });

    await t.test('a connection is cut after the server has the request', async (t) => {
      const { proxy, ask, heard } = await startAll(t, { cutAfter: { p: 1, ms: 0 } });
      // The server may answer before the cut.
      await ask('a', agent);
      await eventually(
        () => heard().length === 1,
        () => 'the request did not arrive',
      );
      t.equal(proxy.counts.cutAfter, 1);
    });

    await t.test('a duplicated request gets to both servers and is answered once', async (t) => {
      const { proxy, ask, heard } = await startAll(t, { duplicate: { p: 1, ms: 5 } });
      t.equal(await ask('a', agent), '1');
      await eventually(
        () => proxy.counts.duplicate === 1,
        () => 'the copy was not answered',
      );
      t.same(heard(), ['a', 'a']);
    });
  });
}

t.test('each request of a kept connection has a draw of its own', async (t) => {
  const { proxy, ask } = await startAll(t, { dropResponse: 0.5 });
  for (let i = 0; i < 40; i++) await ask(`${i}`, 'keep-alive');
  t.equal(proxy.counts.requests, 40);
  t.ok(proxy.counts.dropResponse > 5 && proxy.counts.dropResponse < 35);
});

t.test('a server that is away looks like a cut', async (t) => {
  const port = await freePort();
  const proxy = await startFaultProxy(t, { upstreams: () => [port], faults: {}, seed: SEED });
  await t.rejects(fetch(proxy.url));
  t.equal(proxy.counts.unreachable, 1);
});

t.test('when it is calm nothing goes wrong', async (t) => {
  const { proxy, ask } = await startAll(t, { cutBefore: 0.5, dropResponse: 0.5 });
  t.equal(await ask('a'), 'cut');
  proxy.calm();
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask('b')));
  t.notOk(answers.includes('cut'));
});
