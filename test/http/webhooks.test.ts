/** Webhooks from the event to the receiver, as administrators see them and as they come in. */

import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { RETRIES_S } from '../../src/domain/webhook-retries.js';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import type { WebhookSender } from '../../src/ports/webhook-sender.js';
import { adminTokens } from '../support/administrator.js';
import { isProblem } from '../support/answers.js';
import { fakeClock } from '../support/clock.js';
import { commandsOn } from '../support/command-line.js';
import { fastDatabase } from '../support/databases.js';
import type { Seen } from '../support/plain-servers.js';
import { codeOf, execute, rowOf, rowsOf, startService } from '../support/service.js';
import { severalKeks } from '../support/signing-keys.js';
import { holdableSender, startReceiver, until, webhooksOf } from '../support/webhooks.js';

// Its receivers look at the time by the machine's clock.
const clock = fakeClock(Date.now());
const database = await fastDatabase(t);
const keks = severalKeks('k1');
const sender = holdableSender();
const node = (webhookSender: WebhookSender = sender) =>
  startService(t, { database, clock, keks, webhookSender, env: { AUDIT_REFRESHES: 'true' } });
const service = await node();
const { run, begin, seal } = webhooksOf(service);
const app = await buildLocalApp(service.services, createLogger('silent'));
t.teardown(() => app.close());
const { json, keyturn } = commandsOn(app);
await service.register();

interface Made {
  id: string;
  secret: string;
}
const create = (url: string, ...events: string[]): Promise<Made> =>
  json(['webhooks', 'create', '--url', url, ...events.flatMap((event) => ['--event', event])]);
const deliveries = async (id: string, ...args: string[]) =>
  (await json(['webhooks', 'deliveries', id, ...args])).deliveries;
const audited = async (event: string, id: string) =>
  (await rowsOf(database, 'audit_events', `event = '${event}' ORDER BY id`)).filter(
    ({ details }) => (details as { webhook_id?: string }).webhook_id === id,
  );
const attempt = () => service.post('/v1/login', { email: 'ada@example.com', password: 'wrong' });
const none = async () => {
  for (const table of ['webhook_deliveries', 'webhook_endpoints']) await execute(database, `DELETE FROM ${table}`);
};
const verified = ({ body, headers }: Seen, secret: string) =>
  new Webhook(secret).verify(body, headers as Record<string, string>) as Record<string, unknown>;
/** The times of the machine and of the test are the same but for what the test has moved. */
const verifiedLater = (seen: Seen, secret: string): boolean => {
  const {
    'webhook-id': id,
    'webhook-timestamp': at,
    'webhook-signature': all,
  } = seen.headers as Record<string, string>;
  const sign = new Webhook(secret).sign(String(id), new Date(Number(at) * 1000), seen.body);
  return String(all).split(' ').includes(sign);
};

t.test('an event comes in as it is in the audit trail, signed, and once', async (t) => {
  const receiver = await startReceiver(t);
  const { id, secret } = await create(receiver.url, 'login.*');
  t.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  await attempt();
  t.same(await run(), []);
  t.equal(receiver.seen.length, 1);
  const [seen] = receiver.take();
  if (seen === undefined) throw new Error('nothing came');
  const event = await rowOf(database, 'audit_events', `event = 'login.failed'`);
  t.strictSame(verified(seen, secret), {
    type: 'login.failed',
    timestamp: (event.at as Date).toISOString(),
    data: {
      id: String(event.id),
      outcome: 'failure',
      actor: 'anonymous',
      user_id: event.user_id,
      session_id: null,
      client_id: 'default',
      jti: null,
      by_session_id: null,
      by_jti: null,
      ip: '127.0.0.1',
      place: null,
      user_agent: 'lightMyRequest',
      request_id: event.request_id,
      details: { reason: 'invalid_credentials' },
    },
  });
  t.match(seen, { method: 'POST', url: '/hook', headers: { 'content-type': 'application/json' } });
  t.throws(() => verified({ ...seen, body: seen.body.replace('anonymous', 'anonymou5') }, secret));
  t.throws(() => verified(seen, `whsec_${Buffer.alloc(32).toString('base64')}`));

  await run();
  clock.advance(600);
  await run();
  t.same(receiver.types(), [], 'what was taken does not come again');
  const [delivery] = await deliveries(id);
  t.match(delivery, { id: seen.headers['webhook-id'], event_id: String(event.id), state: 'delivered', status: 200 });
  await service.register('grace@example.com');
  await service.login('grace@example.com');
  await run();
  t.same(receiver.types(), ['login.succeeded'], 'and of what happens, what was asked for');
});

t.test('the secret is shown once, is not in the database, and is in no answer', async (t) => {
  const { id, secret } = await create('https://siem.example.com/a/path-with-a-token', '*');
  const tables = ['webhook_endpoints', 'webhook_deliveries', 'audit_events'];
  const all = await Promise.all(tables.map((table) => rowsOf(database, `(SELECT r::text FROM ${table} AS r) AS rows`)));
  const text = JSON.stringify(all);
  const bytes = Buffer.from(secret.slice(6), 'base64');
  for (const spelling of [secret.slice(6), bytes.toString('hex'), bytes.toString('base64url')])
    t.notMatch(text, spelling.replace(/[+/]/g, '\\$&'));
  t.match(text, id, 'what is there is found');
  const shown = await json(['webhooks', 'show', id]);
  t.notMatch(JSON.stringify([shown, await json(['webhooks', 'list'])]), 'whsec_');
  t.match(shown, {
    id,
    events: ['*'],
    disabled_at: null,
    kek: 'k1',
    url: 'https://siem.example.com/a/path-with-a-token',
  });
  const [event] = await audited('webhook.created', id);
  t.match(event, { actor: /^cli:/, details: { host: 'siem.example.com', events: ['*'] } });
  t.notMatch(JSON.stringify(all.at(-1)), 'path-with-a-token', 'nor is the path of a URL in the audit trail');
  await none();
});

t.test('a secret that is rotated signs beside the new one for a day', async (t) => {
  const receiver = await startReceiver(t);
  const { id, secret: old } = await create(receiver.url, 'webhook.test');
  const rotated = await json(['webhooks', 'rotate-secret', id]);
  t.equal(rotated.previous_secret_until, new Date(clock.now() + 86_400_000).toISOString());
  await json(['webhooks', 'test', id]);
  await run();
  const [both] = receiver.take();
  if (both === undefined) throw new Error('nothing came');
  t.equal(String(both.headers['webhook-signature']).split(' ').length, 2);
  for (const secret of [old, rotated.secret]) t.ok(verifiedLater(both, secret));

  clock.advance(86_400);
  await json(['webhooks', 'test', id]);
  await run();
  const [one] = receiver.take();
  if (one === undefined) throw new Error('nothing came');
  t.notOk(verifiedLater(one, old));
  t.ok(verifiedLater(one, rotated.secret));
  t.match(await audited('webhook.secret_rotated', id), [{ outcome: 'success' }]);
  await none();
});

t.test('what is not taken is tried again under its id, at its time, as it was', async (t) => {
  const receiver = await startReceiver(t);
  const { id } = await create(receiver.url, 'login.failed');
  const answers = [
    { status: 500 },
    { status: 302, headers: { location: '/elsewhere' } },
    { status: 429, headers: { 'retry-after': '60' } },
    {},
  ];
  await attempt();
  const waits = [5, 300, 1800];
  const news: string[] = [];
  for (const [n, answer] of answers.entries()) {
    receiver.answer(answer);
    news.push(...(await run()));
    await run();
    t.equal(receiver.seen.length, n + 1, 'not before its time');
    clock.advance((waits[n] ?? 0) * 1.2);
  }
  t.same(news, ['failing', 'recovered']);
  const came = receiver.take();
  for (const member of ['body'] as const) t.equal(new Set(came.map((seen) => seen[member])).size, 1, member);
  t.equal(new Set(came.map(({ headers }) => headers['webhook-id'])).size, 1);
  t.equal(new Set(came.map(({ headers }) => headers['webhook-timestamp'])).size, 4, 'each attempt has its own time');
  t.match(await deliveries(id), [{ state: 'delivered', attempts: 4, status: 200, error: null }]);
  t.match(await json(['webhooks', 'show', id]), { failing_since: null });
  await none();
});

t.test('in the end it is given up, which others are told of, once, and can be sent again', async (t) => {
  const [receiver, other] = [await startReceiver(t), await startReceiver(t)];
  const { id } = await create(receiver.url, '*');
  await create(other.url, 'webhook.failed');
  receiver.answer({ status: 500 });
  for (let n = 0; n < 3; n++) await attempt();
  const news: string[] = [];
  for (const wait of [...RETRIES_S, 0, 0]) {
    news.push(...(await run()));
    clock.advance(wait * 1.2);
  }
  t.same(news, ['failing', 'given_up']);
  t.same(other.types(), ['webhook.failed']);
  t.equal((await audited('webhook.failed', id)).length, 1);
  t.notOk(receiver.types().includes('webhook.failed'), 'who does not take it is not told that he does not');
  const failed = await deliveries(id, '--state', 'failed');
  t.equal(failed.length, 4);
  const given = { state: 'failed', attempts: 10, status: 500, next_at: null };
  t.match(failed, [given, given, given, given]);

  receiver.answer({});
  t.same(await json(['webhooks', 'retry', id, failed[0].id]), { retried: 1 });
  t.same(await run(), ['recovered']);
  t.match(receiver.take(), [{ headers: { 'webhook-id': failed[0].id } }]);
  t.match(await keyturn(['webhooks', 'retry', id, failed[0].id]), { code: 1, stderr: /delivery_not_failed/ });
  t.match(await keyturn(['webhooks', 'retry', id, id]), { code: 1, stderr: /not_found/ });
  t.same(await json(['webhooks', 'retry', id]), { retried: 3 });
  await run();
  t.equal(receiver.seen.length, 3);
  t.match(await audited('webhook.retried', id), [{ details: { deliveries: 1, delivery_id: failed[0].id } }, {}]);
  await none();
});

t.test('who says he is gone is sent nothing more, until somebody says otherwise', async (t) => {
  const [receiver, other] = [await startReceiver(t), await startReceiver(t)];
  const { id } = await create(receiver.url, 'login.*');
  await create(other.url, 'webhook.*');
  receiver.answer({ status: 410 });
  await attempt();
  t.same(await run(), ['failing', 'disabled']);
  await run();
  t.match(other.types(), ['webhook.created', 'webhook.disabled']);
  await attempt();
  await run();
  t.equal(receiver.take().length, 1);
  t.match(await json(['webhooks', 'show', id]), { disabled_reason: 'gone' });
  t.match(await keyturn(['webhooks', 'test', id]), { code: 1, stderr: /webhook_disabled/ });
  receiver.answer({});
  t.match(await json(['webhooks', 'update', id, '--enable']), { disabled_at: null, failing_since: null });
  await attempt();
  await run();
  t.same(receiver.types(), ['login.failed'], 'what happens from then on');
  t.match(await audited('webhook.updated', id), [
    { details: { changed: { disabled: { before: true, after: false } } } },
  ]);
  await none();
});

t.test('one that hangs or is not there does not delay another one', async (t) => {
  const [hanging, good] = [await startReceiver(t), await startReceiver(t)];
  const release = sender.hold(hanging.url);
  for (const url of [hanging.url, hanging.url, 'http://127.0.0.1:1/']) await create(url, 'login.*');
  await create(good.url, 'login.*');
  for (let n = 0; n < 12; n++) await attempt();
  await seal();
  await begin();
  await until(() => good.seen.length === 12);
  await until(() => hanging.seen.length === 10);
  await begin();
  t.equal(hanging.seen.length, 10, 'of which there are no more than five under way for each');
  await none();
  release();
  await service.services.webhookSending.settled();
});

t.test('of two nodes one sends each event, and what one had in its hands when it died the other sends', async (t) => {
  const receiver = await startReceiver(t);
  const dying = holdableSender();
  const other = webhooksOf(await node(dying));
  const { id } = await create(receiver.url, 'login.failed');
  for (let n = 0; n < 30; n++) {
    await attempt();
    if (n % 5 === 0) await Promise.all([run(), other.run()]);
  }
  await Promise.all([run(), other.run()]);
  await Promise.all([run(), other.run()]);
  const ids = receiver.take().map(({ headers }) => headers['webhook-id']);
  t.same([ids.length, new Set(ids).size], [30, 30]);

  dying.hold(receiver.url);
  await attempt();
  await seal();
  await other.begin();
  await until(() => receiver.seen.length > 0);
  await run();
  t.equal(receiver.seen.length, 1, 'as long as it may be at it');
  clock.advance(60);
  await run();
  const twice = receiver.take().map(({ headers }) => headers['webhook-id']);
  t.same([twice.length, new Set(twice).size], [2, 1], 'under the same id');
  const sent = (await deliveries(id)).filter(({ id }: Made) => id === twice[0]);
  t.match(sent, [{ state: 'delivered', attempts: 2 }]);
  await none();
});

t.test('secrets are sealed under a new KEK with the keys, and without theirs nothing is sent or lost', async (t) => {
  const receiver = await startReceiver(t);
  await none();
  const { id, secret } = await create(receiver.url, 'webhook.test');
  keks.put('k2');
  await json(['keys', 'rewrap']);
  t.match(await json(['webhooks', 'show', id]), { kek: 'k2' });
  t.match(await audited('webhook.rewrapped', id), [{ details: { from: 'k1', to: 'k2' } }]);
  keks.remove('k1');
  await json(['webhooks', 'test', id]);
  await run();
  t.ok(receiver.take().every((seen) => verifiedLater(seen, secret)));

  const { find } = keks;
  t.teardown(() => Object.assign(keks, { find }));
  keks.find = () => null;
  await json(['webhooks', 'test', id]);
  t.same(await run(), ['unsigned']);
  keks.put('k3');
  t.match(await keyturn(['keys', 'rewrap']), {
    code: 1,
    stderr: new RegExp(`key_unusable: The secret of the webhook ${id}`),
  });
  keks.find = find;
  t.equal(receiver.seen.length, 0);
  clock.advance(60);
  await run();
  t.equal(receiver.seen.length, 1);
  t.match((await deliveries(id))[0], { attempts: 1, state: 'delivered' });
  await none();
});

t.test('over HTTP it is for administrators, and says what is wrong', async (t) => {
  await service.login();
  const admin = await adminTokens(service);
  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path = '', body?: object) =>
    service.call({
      method,
      url: `/v1/admin/webhooks${path}`,
      headers: {
        authorization: `Bearer ${admin.access_token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    });
  t.equal((await service.get('/v1/admin/webhooks', (await service.login()).access_token)).statusCode, 401);
  const made = await call('POST', '', { url: 'https://siem.example.com/x', events: ['login.*'], description: 'SIEM' });
  t.equal(made.statusCode, 201);
  const { id, secret, ...shown } = made.json();
  t.same((await call('GET', `/${id}`)).json(), { id, ...shown });
  t.match(await audited('webhook.created', id), [{ actor: `user:${admin.id}` }]);
  for (const url of ['http://siem.example.com/', 'https://10.0.0.1/', 'https://u:p@siem.example.com/']) {
    isProblem(t, await call('POST', '', { url, events: ['*'] }), 400, 'invalid_request');
    isProblem(t, await call('PATCH', `/${id}`, { url }), 400, 'invalid_request');
  }
  const changed = await call('PATCH', `/${id}`, {
    url: 'https://siem.example.com/y',
    description: null,
    disabled: true,
  });
  t.match(changed.json(), { url: 'https://siem.example.com/y', description: null, disabled_reason: 'administrator' });
  const [event] = await audited('webhook.updated', id);
  t.match(event, { details: { changed: { url: 'changed', disabled: { before: false, after: true } } } });
  const unknown = '01970000-0000-7000-8000-000000000001';
  const missing = [
    await call('GET', `/${unknown}`),
    await call('PATCH', `/${unknown}`, { disabled: true }),
    await call('DELETE', `/${unknown}`),
    await call('POST', `/${unknown}/secret`),
    await call('POST', `/${unknown}/test`),
    await call('GET', `/${unknown}/deliveries`),
    await call('POST', `/${unknown}/retries`, {}),
  ];
  for (const answer of missing) isProblem(t, answer, 404, 'not_found');
  isProblem(t, await call('POST', `/${id}/retries`, {}), 409, 'webhook_disabled');
  t.equal((await call('DELETE', `/${id}`)).json().id, id);
  t.match(await audited('webhook.deleted', id), [{ details: { host: 'siem.example.com' } }]);

  await none();
  await call('POST', '', { url: 'https://siem.example.com/', events: ['*'] });
  await execute(
    database,
    `INSERT INTO webhook_endpoints (id, url, events, sealed_secrets, kek_id, seal, created_at)
      SELECT gen_random_uuid(), url, events, sealed_secrets, kek_id, seal, created_at
      FROM webhook_endpoints, generate_series(2, 100)`,
  );
  t.equal(codeOf(await call('POST', '', { url: 'https://siem.example.com/', events: ['*'] })), 'webhook_limit');
  await none();
});

t.test('what is pending is counted, and so is what came of the attempts', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer({ status: 500 });
  await create(receiver.url, 'webhook.test');
  const [{ id } = { id: '' }] = (await json(['webhooks', 'list'])).webhooks;
  await json(['webhooks', 'test', id]);
  await run();
  clock.advance(60);
  await service.services.webhookSending.measure();
  const text = await service.metrics.text();
  t.match(text, /^keyturn_webhook_pending 1$/m);
  t.match(text, /^keyturn_webhook_pending_seconds 60$/m);
  t.match(text, /^keyturn_webhook_attempts_total\{outcome="delivered"\} [1-9]\d*$/m);
  await json(['webhooks', 'update', id, '--disable']);
  await service.services.webhookSending.measure();
  t.match(await service.metrics.text(), /^keyturn_webhook_disabled 1$/m);
  await none();
});
