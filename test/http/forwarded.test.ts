/** X-Forwarded-For in every form that proxies send and attackers invent: counted for whom it has to be, and never a crash. */
import t, { type Test } from 'tap';
import { fastDatabase } from '../support/databases.js';
import { startService, testKeks } from '../support/service.js';

const database = await fastDatabase(t);
const keks = testKeks();
const PROXY = '10.0.0.1';
const SOCKET = '192.0.2.200';

/** What is left to whoever sends these headers, after each request; a subject of its own begins with 98. */
async function start(t: Test, env: Record<string, string> = {}) {
  const { call, logs } = await startService(t, { database, keks, env: { LIMIT_REQUESTS: '99', ...env } });
  async function leftTo(forwarded: string | string[] | undefined, remoteAddress = PROXY) {
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    const { headers: answered } = await call({ method: 'GET', url: '/v1/me', headers, remoteAddress });
    return Number(/;r=(\d+);/.exec(String(answered.ratelimit))?.[1]);
  }
  return { leftTo, lastIp: () => logs.findLast(({ msg }) => msg === 'request')?.ip };
}
const hops = (n: number, last: string) => [...Array.from({ length: n }, (_, i) => `9.${i >> 8}.${i & 255}.9`), last];

t.test('without TRUST_PROXY nobody is believed: neither for himself nor against others', async (t) => {
  const { leftTo, lastIp } = await start(t);
  const invented = ['203.0.113.1', '::1', '127.0.0.1', 'unknown', '', ',', '1.2.3.4:5', hops(1000, 'x').join(',')];
  for (const [i, forwarded] of invented.entries())
    t.equal(await leftTo(forwarded, SOCKET), 98 - i, forwarded.slice(0, 30));
  t.equal(lastIp(), SOCKET);
  t.equal(await leftTo(undefined, '203.0.113.1'), 98, 'whom he named has lost nothing');
});

t.test('with it a client is one subject, however the proxy writes it', async (t) => {
  const { leftTo, lastIp } = await start(t, { TRUST_PROXY: '10.0.0.0/8' });
  const clients: [client: string, forms: string[]][] = [
    [
      '192.0.2.1',
      ['192.0.2.1', '192.0.2.1:5678', '192.0.2.1:1', ' 192.0.2.1 ', '::ffff:192.0.2.1', '[::ffff:192.0.2.1]:80'],
    ],
    ['2001:db8:0:7::1', ['2001:db8:0:7::1', '[2001:db8:0:7::2]', '[2001:db8:0:7::3]:5678', '2001:DB8:0:7::4']],
    ['fe80::1', ['fe80::1', 'fe80::2%eth0', '[fe80::3%eth0]:80']],
    ['192.0.2.2', ['9.9.9.9, 192.0.2.2', '9.9.9.9:1, 192.0.2.2:9, 10.1.1.1', '192.0.2.2:7, 10.1.1.1:7, 10.2.2.2:8']],
    ['192.0.2.3', [hops(1000, '192.0.2.3').join(','), `${'x'.repeat(3000)}, 192.0.2.3`, 'unknown,192.0.2.3']],
  ];
  for (const [client, forms] of clients) {
    for (const [i, form] of forms.entries()) t.equal(await leftTo(form), 98 - i, `${client}: ${form.slice(0, 40)}`);
  }
  t.equal(await leftTo(['192.0.2.9', '192.0.2.1']), 98 - 6, 'of two fields the last one counts');
  t.equal(lastIp(), '192.0.2.1');
  t.equal(await leftTo('192.0.2.1:5678'), 98 - 7);
  t.equal(lastIp(), '192.0.2.1', 'the port is not kept');
});

t.test('what is no address is the proxy’s own request, and no way around the count', async (t) => {
  const { leftTo, lastIp } = await start(t, { TRUST_PROXY: '10.0.0.1' });
  const garbage = [
    ...['', ',', ',,,', 'unknown', '_hidden', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '1', '0x7f.1'],
    ...[
      '1.2.3.4:',
      '1.2.3.4:123456',
      '1.2.3.4:x',
      '[::1',
      '::1]',
      '[]:80',
      '[1.2.3.4',
      '1.2.3.4]',
      ':::',
      '1.2.3.4/24',
    ],
    ...['1.2.3.4 5.6.7.8', '9.9.9.9, x', '%', 'fe80::1%', `${'1'.repeat(9000)}`, `[${':'.repeat(9000)}]:1`, '\u00ff'],
  ];
  for (const [i, forwarded] of garbage.entries()) {
    t.equal(await leftTo(forwarded), 98 - i, `${JSON.stringify(forwarded).slice(0, 40)}`);
    t.equal(lastIp(), PROXY);
  }
  t.equal(await leftTo(undefined), 98 - garbage.length, 'as is one without the header');
});

t.test('whoever is no proxy is not believed though others are', async (t) => {
  const { leftTo } = await start(t, { TRUST_PROXY: '10.0.0.1, 2001:db8:ff::/48' });
  for (const [i, forwarded] of ['203.0.113.1', '10.0.0.1', '203.0.113.2, 10.0.0.1'].entries())
    t.equal(await leftTo(forwarded, SOCKET), 98 - i);
  t.equal(await leftTo('203.0.113.7', '::ffff:10.0.0.1'), 98, 'a proxy may come in IPv6 dress');
  t.equal(await leftTo('203.0.113.7', '2001:db8:ff:1::2'), 97, 'or be one of a network');
  t.equal(await leftTo('203.0.113.7', '2001:db8:fe:1::2'), 98);
});
