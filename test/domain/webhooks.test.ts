/** What webhooks say, where they go, and what becomes of them: pure functions. */
import t from 'tap';
import type { AuditRecord } from '../../src/domain/audit-record.js';
import { instant, later } from '../../src/domain/types.js';
import { createWebhookAddresses } from '../../src/domain/webhook-addresses.js';
import { RETRIES_S, settle } from '../../src/domain/webhook-retries.js';
import { createWebhookSecrets } from '../../src/domain/webhook-secrets.js';
import { signedHeaders, type WebhookEndpoint, wants } from '../../src/domain/webhooks.js';
import type { Random } from '../../src/ports/random.js';
import type { SendResult } from '../../src/ports/webhook-sender.js';
import { severalKeks } from '../support/signing-keys.js';

const NOW = instant(Date.UTC(2026, 2, 1, 12));
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;

const endpoint: WebhookEndpoint = {
  id: '019b2f60-4a1e-7c3b-9d50-6f2a1c0e8b77',
  url: 'https://siem.example.com/hook/a-token-of-the-receiver',
  events: ['*'],
  description: null,
  secrets: { sealed: new Uint8Array(), kekId: 'k1' },
  previousUntil: null,
  createdAt: NOW,
  disabledAt: null,
  disabledReason: null,
  failingSince: null,
  toldAt: null,
  notBefore: null,
};
const answered = (status: number, retryAfterS: number | null = null): SendResult => ({ status, retryAfterS });
const LAST = RETRIES_S.length + 1;
const tried = (attempt: number, madeAt = NOW) => ({ attempt, url: endpoint.url, madeAt });

t.test('the signature is the one of the specification', async (t) => {
  // Of https://github.com/standard-webhooks/standard-webhooks, as its libraries test it.
  const secret = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
  const headers = signedHeaders(
    'msg_p5jXN8AQM9LWM0D4loKWxJek',
    '{"test": 2432232314}',
    [secret],
    instant(1614265330e3),
  );
  t.same(headers, {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

t.test('an endpoint gets what it asks for, and nothing that tells of itself', async (t) => {
  const record = (event: string, details: AuditRecord['details'] = null) => ({ event, details }) as AuditRecord;
  const asks = (...events: string[]) => ({ ...endpoint, events });
  t.ok(wants(asks('login.failed'), record('login.failed')));
  t.ok(wants(asks('user.created', 'login.*'), record('login.failed')));
  t.ok(wants(asks('*'), record('session.flagged')));
  t.notOk(wants(asks('login.*'), record('logins.failed')));
  t.notOk(wants(asks('login.fail'), record('login.failed')));
  t.notOk(wants(asks('*'), record('webhook.failed', { webhook_id: endpoint.id })));
  t.ok(wants(asks('*'), record('webhook.failed', { webhook_id: 'another' })));
});

t.test('a delivery is tried again for three days, at times that are spread, and then given up', async (t) => {
  let elapsed = 0;
  for (let attempt = 1; attempt < LAST; attempt++) {
    const [soon, late] = [0, 1].map(
      (chance) => settle(endpoint, tried(attempt), { error: 'timeout' }, NOW, chance).delivery,
    );
    const waits = [soon, late].map((delivery) => ((delivery?.nextAt ?? 0) - NOW) / 1000);
    t.same(waits, [RETRIES_S[attempt - 1], (RETRIES_S[attempt - 1] ?? 0) * 1.2]);
    t.match(soon, { state: 'pending', error: 'timeout', status: null, expiresAt: null });
    elapsed += waits[0] ?? 0;
  }
  t.equal(elapsed, 75 * HOUR_S + 35 * 60 + 5, 'the schedule of the specification');
  const last = settle({ ...endpoint, failingSince: NOW }, tried(LAST), answered(500), later(NOW, elapsed), 0);
  t.match(last.delivery, { state: 'failed', status: 500, nextAt: null });
  t.match(last.audit, [{ event: 'webhook.failed', outcome: 'failure', details: { host: 'siem.example.com' } }]);
  t.notMatch(JSON.stringify(last), 'a-token', 'the path of a URL is told to nobody');
  t.same(last.news, ['given_up']);
});

t.test('of many that are given up in one episode the first is told of, and success ends it', async (t) => {
  const failing = { ...endpoint, failingSince: NOW, toldAt: later(NOW, DAY_S) };
  const again = settle(failing, tried(LAST), answered(500), later(NOW, 4 * DAY_S), 0);
  t.match(again, { audit: [], news: [], delivery: { state: 'failed' }, endpoint: { toldAt: failing.toldAt } });
  const taken = settle(failing, tried(3), answered(204), NOW, 0);
  t.match(taken, { delivery: { state: 'delivered', nextAt: null }, news: ['recovered'], audit: [] });
  t.same(taken.endpoint, { failingSince: null, notBefore: null });
  t.same(settle(endpoint, tried(1), answered(200), NOW, 0).endpoint, {}, 'an endpoint that does well is not written');
  t.match(settle(endpoint, tried(1), answered(500), NOW, 0), { news: ['failing'], endpoint: { failingSince: NOW } });
});

t.test('one that refuses some of its events is not told of more than once a day', async (t) => {
  const at = later(NOW, DAY_S);
  const toldBefore = { ...endpoint, failingSince: later(NOW, 1), toldAt: NOW };
  const soon = settle(toldBefore, tried(LAST), answered(400), later(at, -1), 0);
  t.match(soon, { audit: [], news: [], endpoint: { toldAt: NOW } });
  const again = settle(toldBefore, tried(LAST), answered(400), at, 0);
  t.match(again, { audit: [{ event: 'webhook.failed' }], news: ['given_up'], endpoint: { toldAt: at } });
});

t.test('what had to queue for a receiver that hangs is given up after four days, and so the receiver is', async (t) => {
  const failing = { ...endpoint, failingSince: NOW };
  const stateAt = (seconds: number, attempt = 2) =>
    settle(failing, tried(attempt), { error: 'timeout' }, later(NOW, seconds), 0);
  t.equal(stateAt(4 * DAY_S - 1).delivery.state, 'pending');
  t.match(stateAt(4 * DAY_S), { delivery: { state: 'failed' }, audit: [{ event: 'webhook.failed' }] });
  t.match(stateAt(5 * DAY_S), { endpoint: { disabledReason: 'failing' } });
  t.equal(stateAt(4 * DAY_S, 1).delivery.state, 'pending', 'everything is tried twice');
});

t.test('what is answered where an endpoint was before says nothing of where it is now', async (t) => {
  const moved = { ...endpoint, url: 'https://new.example.com/' };
  for (const result of [answered(410), answered(500), answered(429, 60)]) {
    const settled = settle(moved, tried(LAST), result, NOW, 0);
    t.match(settled, { delivery: { state: 'pending', nextAt: NOW }, audit: [], news: [] });
    t.same(settled.endpoint, {});
  }
  const taken = settle({ ...moved, failingSince: NOW }, tried(1), answered(200), NOW, 0);
  t.match(taken, { delivery: { state: 'delivered' }, news: [] });
  t.same(taken.endpoint, {});
});

t.test('an endpoint that says it is gone, or takes nothing for five days, is disabled', async (t) => {
  const gone = settle(endpoint, tried(1), answered(410), NOW, 0);
  t.match(gone, { delivery: { state: 'failed' }, endpoint: { disabledAt: NOW, disabledReason: 'gone' } });
  t.match(gone.audit, [{ event: 'webhook.disabled', details: { reason: 'gone', status: 410 } }]);

  const failing = { ...endpoint, failingSince: NOW, toldAt: NOW };
  const early = settle(failing, tried(LAST), answered(500), later(NOW, 5 * DAY_S - 1), 0);
  t.notOk('disabledAt' in early.endpoint);
  const at = later(NOW, 5 * DAY_S);
  const afterSilence = settle(failing, tried(1, at), answered(500), at, 0);
  t.notOk('disabledAt' in afterSilence.endpoint, 'one bad answer after a long silence');
  const late = settle(failing, tried(LAST), answered(500), at, 0);
  t.match(late, { endpoint: { disabledAt: at, disabledReason: 'failing' }, news: ['disabled'] });
  t.match(late.audit, [{ event: 'webhook.disabled', details: { reason: 'failing' } }]);
});

t.test('who asks to be left alone is left alone, for an hour at most', async (t) => {
  const waits = (result: SendResult) => {
    const { delivery, endpoint: changes } = settle(endpoint, tried(1), result, NOW, 0);
    return [delivery.nextAt, changes.notBefore ?? null].map((at) => at && (at - NOW) / 1000);
  };
  t.same(waits(answered(429, 120)), [120, 120]);
  t.same(waits(answered(503, 86_400)), [HOUR_S, HOUR_S]);
  t.same(waits(answered(429, 1)), [5, 1], 'but never sooner than by the schedule');
  t.same(waits(answered(500, 120)), [5, null]);
  t.same(waits(answered(429, -5)), [5, null]);
  for (const status of [199, 302, 404])
    t.equal(settle(endpoint, tried(1), answered(status), NOW, 0).delivery.state, 'pending');
});

t.test('secrets are sealed, two at a time, and bound to their webhook', async (t) => {
  const keks = severalKeks('k1');
  let drawn = 0;
  const random: Random = { bytes: (length) => new Uint8Array(length).fill(++drawn) };
  const secrets = createWebhookSecrets(keks, random);
  const made = secrets.make('a');
  const holder = { id: 'a', ...made };
  const [first] = secrets.open(holder, NOW) ?? [];
  t.equal(made.shown, `whsec_${Buffer.from(first ?? []).toString('base64')}`);
  t.equal(secrets.open({ ...holder, id: 'b' }, NOW), null, 'it opens nowhere else');

  const rotated = { id: 'a', ...secrets.rotate(holder, NOW) };
  const [second, before, ...none] = secrets.open(rotated, later(NOW, DAY_S - 1)) ?? [];
  t.same([before, none.length], [first, 0]);
  t.notSame(second, first);
  t.same(secrets.open(rotated, later(NOW, DAY_S)), [second], 'for a day');

  keks.put('k2');
  const moved = secrets.reseal(rotated);
  t.equal(moved?.kekId, 'k2');
  keks.remove('k1');
  t.equal(secrets.open(rotated, NOW), null);
  t.same(moved && secrets.open({ ...rotated, secrets: moved }, NOW), [second, first]);
  t.equal(secrets.rotate(rotated, NOW).previousUntil, null, 'what cannot be opened cannot go on signing');
});

const privates = [
  ...['127.0.0.1', '127.255.255.254', '0.0.0.0', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
  ...['169.254.169.254', '100.64.0.1', '100.100.100.200', '168.63.129.16', '192.0.0.192', '192.0.2.1', '198.18.0.1'],
  ...['198.51.100.7', '203.0.113.7', '224.0.0.1', '240.0.0.1', '255.255.255.255', '192.88.99.1'],
  ...['::1', '::', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'fec0::1', 'ff02::1', '2001:db8::1', '100::1', '3fff::1'],
  ...['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:169.254.169.254', '::127.0.0.1', '::ffff:0:127.0.0.1'],
  ...['64:ff9b::7f00:1', '64:ff9b:1::7f00:1', '2002:7f00:1::', '2001::1', '2001:20::1', '5f00::1', '4000::1'],
  ...['fe80::1%eth0', 'localhost', '', '1', '127.1'],
];
const publics = ['93.184.215.14', '8.8.8.8', '172.32.0.1', '2606:4700::1111', '2a00:1450::1', '::ffff:8.8.8.8'];
const SECURE = new URL('https://x.example/');
const PLAIN = new URL('http://localhost/');

t.test('nothing is sent to an address that is not public', async (t) => {
  const { mayConnect } = createWebhookAddresses({ networks: [], production: true });
  for (const address of privates) t.notOk(mayConnect(address, SECURE), address);
  for (const address of publics) t.ok(mayConnect(address, SECURE), address);
  for (const address of [...privates, ...publics]) t.notOk(mayConnect(address, PLAIN), `${address}, in clear`);
});

t.test('but to those that are named, and outside production to this machine', async (t) => {
  const networks = ['10.1.0.0/16', 'fd00::/64', '192.168.1.1', '::ffff:172.16.0.1'];
  const named = createWebhookAddresses({ networks, production: true }).mayConnect;
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', 'fd00::7', '192.168.1.1', '172.16.0.1', '8.8.8.8'])
    t.ok(named(address, SECURE), address);
  for (const address of ['10.2.0.1', 'fd00:0:0:1::1', '192.168.1.2', '127.0.0.1']) t.notOk(named(address, SECURE));
  const { mayConnect } = createWebhookAddresses({ networks: [], production: false });
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) t.ok(mayConnect(address, PLAIN), address);
  for (const address of ['10.0.0.1', '169.254.169.254', '8.8.8.8']) t.notOk(mayConnect(address, PLAIN), address);
  t.notOk(mayConnect('10.0.0.1', SECURE));
});

t.test('what is wrong with a URL is told at once, as far as it can be', async (t) => {
  const production = createWebhookAddresses({ networks: ['10.0.0.0/8'], production: true }).problemWith;
  for (const url of [
    'https://siem.example.com/x?y=z',
    'https://8.8.8.8:8443/',
    'https://[2606:4700::1111]/',
    'https://10.0.0.7/',
  ])
    t.equal(production(url), null, url);
  const bad = {
    'not a URL': ['siem.example.com', '', '//x'],
    credentials: ['https://user:pass@siem.example.com/', 'https://user@siem.example.com/'],
    fragment: ['https://siem.example.com/#x'],
    'not https': ['http://siem.example.com/', 'http://localhost/', 'ftp://siem.example.com/', 'file:///etc/passwd'],
    'not public': [
      ...['https://127.0.0.1/', 'https://0x7f.1/', 'https://2130706433/', 'https://0177.0.0.1/', 'https://127.1/'],
      ...['https://[::1]/', 'https://[::ffff:127.0.0.1]/', 'https://169.254.169.254/latest/meta-data/'],
      ...['https://192.168.0.1/', 'https://[fd00:ec2::254]/', 'https://①②⑦.0.0.1/'],
    ],
  };
  for (const [why, urls] of Object.entries(bad)) for (const url of urls) t.match(production(url), why, url);
  const { problemWith } = createWebhookAddresses({ networks: [], production: false });
  for (const url of ['http://localhost:9/', 'http://127.0.0.1:9/', 'http://[::1]/'])
    t.equal(problemWith(url), null, url);
  for (const url of ['http://10.0.0.1/', 'http://siem.example.com/', 'http://localhost.example/'])
    t.match(problemWith(url), 'loopback', url);
});
