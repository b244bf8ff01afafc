/** Webhooks and their outbox, on every database. */
import t, { type Test } from 'tap';
import { v7 } from 'uuid';
import { createAuditSeals } from '../../src/adapters/postgres/audit-seals.js';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createExpiredRows } from '../../src/adapters/postgres/expired-rows.js';
import { createWebhookOutbox } from '../../src/adapters/postgres/webhook-outbox.js';
import { createWebhookStore } from '../../src/adapters/postgres/webhook-store.js';
import { auditEvent, byService } from '../../src/domain/audit.js';
import { createAuditSealing } from '../../src/domain/audit-sealing.js';
import { type Instant, instant, later } from '../../src/domain/types.js';
import { settle } from '../../src/domain/webhook-retries.js';
import type { NewDelivery, WebhookEndpoint } from '../../src/domain/webhooks.js';
import { countNothing } from '../../src/ports/metrics.js';
import type { Claimed } from '../../src/ports/webhook-outbox.js';
import type { SendResult } from '../../src/ports/webhook-sender.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowsOf } from '../support/service.js';

const NOW = instant(Date.now());
const LEASE_S = 60;
const audit = (event: 'webhook.created' | 'webhook.updated', at = NOW) =>
  auditEvent(event, 'success', at, byService.caller, { actor: 'cli:ops' });

const endpoint = (fields: Partial<WebhookEndpoint> = {}): WebhookEndpoint => ({
  id: v7(),
  url: 'https://siem.example.com/',
  events: ['*'],
  description: 'ours',
  secrets: { sealed: Buffer.from('sealed'), kekId: 'k1' },
  previousUntil: null,
  createdAt: NOW,
  disabledAt: null,
  disabledReason: null,
  failingSince: null,
  toldAt: null,
  notBefore: null,
  ...fields,
});

function worldOn(database: Database) {
  const [store, outbox, seals] = [
    createWebhookStore(database),
    createWebhookOutbox(database),
    createAuditSeals(database),
  ];
  const sealing = createAuditSealing(seals, countNothing);
  const make = (_: WebhookEndpoint, events: readonly { id: string; event: string }[]): NewDelivery[] =>
    events.map(({ id, event }) => ({ id: v7(), eventId: id, event, body: `{"n":"${id} é \\u0000"}` }));
  return {
    store,
    outbox,
    seals,
    make,
    seal: () => sealing.run(),
    async created(fields: Partial<WebhookEndpoint> = {}, most = 100) {
      const made = endpoint(fields);
      return (await store.create(made, most, audit('webhook.created'))) ? made : null;
    },
    /** With deliveries of `count` events. */
    async filled(count: number, fields: Partial<WebhookEndpoint> = {}) {
      const made = endpoint(fields);
      await sealing.run();
      await store.create(made, 100, audit('webhook.created'));
      await add(database, count - 1);
      await sealing.run();
      while (await outbox.fill(made.id, 10_000, make, NOW));
      return made;
    },
    claim: (more: Partial<Parameters<typeof outbox.claim>[0]> = {}) =>
      outbox.claim({
        now: NOW,
        until: later(more.now ?? NOW, LEASE_S),
        failing: false,
        limit: 50,
        perEndpoint: 5,
        underWay: new Map(),
        ...more,
      }),
    settle: (claimed: Claimed, result: SendResult, at: Instant = NOW) =>
      outbox.settle(claimed, (now) => settle(now, triedBy(claimed), result, at, 0)),
    deliveries: (id: string) => rowsOf(database, 'webhook_deliveries', `endpoint_id = '${id}' ORDER BY id`),
    empty: async () => {
      for (const table of ['webhook_deliveries', 'webhook_endpoints']) await execute(database, `DELETE FROM ${table}`);
    },
  };
}

const add = (database: Database, count: number): Promise<void> =>
  execute(
    database,
    `INSERT INTO audit_events (at, event, outcome, actor) SELECT now(), 'login.failed', 'failure', 'anonymous'
      FROM generate_series(1, ${count})`,
  );
const taken: SendResult = { status: 200, retryAfterS: null };
const refused: SendResult = { status: 500, retryAfterS: null };

async function endpoints(t: Test, database: Database): Promise<void> {
  const { store, created, empty, seal } = worldOn(database);
  const events = async (event: string) => (await rowsOf(database, 'audit_events', `event = '${event}'`)).length;

  t.test('are read as they were stored, and no more are than may be', async (t) => {
    const first = await created();
    const second = await created({ events: ['login.*', 'user.created'], description: null });
    t.same(await store.list(), [first, second]);
    t.same(first && (await store.find(first.id)), first);
    t.equal(await store.find(v7()), null);
    t.equal(await created({}, 2), null);
    t.equal(await events('webhook.created'), 2, 'what was not made has no event');
  });

  t.test('change by what there is, and only together with the event', async (t) => {
    const [before] = await store.list();
    if (before === undefined) throw new Error('none');
    const changed = await store.change(
      before.id,
      (found) => {
        t.same(found, before);
        return { changes: { url: 'https://other.example/', failingSince: NOW }, audit: audit('webhook.updated') };
      },
      NOW,
    );
    t.same(await store.find(before.id), changed);
    t.match(changed, { ...before, url: 'https://other.example/', failingSince: NOW });
    t.equal(await store.change(v7(), () => ({ changes: {}, audit: audit('webhook.updated') }), NOW), null);
    t.equal(await events('webhook.updated'), 1);
  });

  t.test('get other secrets only instead of those that were looked at', async (t) => {
    const [before] = await store.list();
    if (before === undefined) throw new Error('none');
    const after = { secrets: { sealed: Buffer.from('anew'), kekId: 'k2' }, previousUntil: later(NOW, 60) };
    t.ok(await store.setSecrets(before, after, audit('webhook.updated')));
    t.notOk(await store.setSecrets(before, after, audit('webhook.updated')));
    t.match(await store.find(before.id), after);
    t.ok(await store.delete(before.id, audit('webhook.updated')));
    t.notOk(await store.delete(before.id, audit('webhook.updated')));
    t.equal(await events('webhook.updated'), 3);
    await empty();
    await seal();
  });
}

async function filling(t: Test, database: Database): Promise<void> {
  const { store, outbox, make, created, filled, deliveries, seal, seals, empty } = worldOn(database);

  t.test('an endpoint gets each event that is sealed from its creation on, once', async (t) => {
    await add(database, 3);
    await seal();
    const made = (await created()) ?? endpoint();
    t.same(await outbox.active(), [{ id: made.id, isBehind: false }]);
    await add(database, 1_200);
    t.equal(await outbox.fill(made.id, 10_000, make, NOW), false, 'nothing that is not sealed');
    await seal();
    t.same(await outbox.active(), [{ id: made.id, isBehind: true }]);
    let batches = 0;
    while (await outbox.fill(made.id, 10_000, make, NOW)) batches++;
    t.equal(batches, 3);
    const rows = await deliveries(made.id);
    const stored = await rowsOf(database, 'audit_events', 'true ORDER BY id DESC LIMIT 1201');
    t.same(
      rows.map(({ event_id }) => String(event_id)).reverse(),
      stored.map(({ id }) => String(id)),
    );
    t.match(rows[0], { event: 'webhook.created', state: 'pending', attempts: 0, body: /é \\u0000/ });
    t.same(await outbox.backlog(1_000), { pending: 1_000, oldest: NOW, disabled: 0 });
    await empty();
  });

  t.test('one that takes nothing gets no more than so many, and loses none', async (t) => {
    const made = await filled(600);
    await add(database, 600);
    await seal();
    t.equal(await outbox.fill(made.id, 600, make, NOW), null);
    t.same(await outbox.active(), [{ id: made.id, isBehind: true }]);
    t.ok(await outbox.fill(made.id, 601, make, NOW), 'when there is room it goes on');
    t.equal((await deliveries(made.id)).length, 1_100);
    await empty();
  });

  t.test('what an endpoint has not been through is not removed from the audit trail', async (t) => {
    await add(database, 3);
    await seal();
    const before = await rowsOf(database, 'audit_events');
    const waiting = await filled(4);
    await add(database, 5);
    await seal();
    await add(database, 2);
    await seal();
    const tomorrow = new Date(Date.now() + 86_400_000);
    const removed = Number(await seals.expire(tomorrow, -86_400, 100_000));
    t.equal(removed, before.length + 4);
    t.equal(await seals.expire(tomorrow, -86_400, 100_000), 0);
    const disable = { disabledAt: NOW, disabledReason: 'administrator' as const };
    await store.change(waiting.id, () => ({ changes: disable, audit: audit('webhook.updated') }), NOW);
    t.equal(await seals.expire(tomorrow, -86_400, 100_000), 5, 'one that is disabled keeps nothing');
    await empty();
  });
}

async function sending(t: Test, database: Database): Promise<void> {
  const { store, outbox, filled, claim, settle, deliveries, seal, make, empty } = worldOn(database);

  t.test('what is claimed is nobody else’s until the lease is over, and then somebody’s', async (t) => {
    const made = await filled(3);
    const claimed = await claim();
    t.match(claimed, [{ attempt: 1, endpoint: made }, { attempt: 1 }, { attempt: 1 }]);
    t.same(await claim({ now: later(NOW, LEASE_S - 1) }), []);
    const again = await claim({ now: later(NOW, LEASE_S) });
    t.same(again.map(({ id }) => id).sort(), claimed.map(({ id }) => id).sort(), 'under the same ids');
    const [first] = claimed;
    if (first === undefined) throw new Error('none');
    t.equal(await settle(first, taken), null, 'who comes too late says nothing');
    const own = again.find(({ id }) => id === first.id) ?? first;
    t.match(await settle(own, taken), { delivery: { state: 'delivered' } });
    t.equal(await settle(own, taken), null, 'once');
    const [row] = (await deliveries(made.id)).filter(({ id }) => id === own.id);
    t.match(row, { state: 'delivered', body: null, attempts: 2, last_status: 200, next_at: null });

    const [released, left] = again.filter(({ id }) => id !== first.id);
    if (released === undefined) throw new Error('none');
    await outbox.release(released, later(NOW, 300));
    t.match(await claim({ now: later(NOW, 299) }), [{ id: left?.id, attempt: 3 }]);
    t.match(await claim({ now: later(NOW, 300) }), [{ id: released.id, attempt: 2 }], 'as if it had not been claimed');
    await empty();
  });

  t.test('each has its share, those that have least under way first', async (t) => {
    const [busy, calm, failing] = [await filled(8), await filled(8), await filled(8, {})];
    await store.change(failing.id, () => ({ changes: { failingSince: NOW }, audit: audit('webhook.updated') }), NOW);
    const count = (claimed: Claimed[], { id }: WebhookEndpoint) =>
      claimed.filter(({ endpoint }) => endpoint.id === id).length;
    const some = await claim({ limit: 3, underWay: new Map([[busy.id, 2]]) });
    t.same([count(some, busy), count(some, calm), count(some, failing)], [0, 3, 0]);
    const all = await claim({ underWay: new Map([[busy.id, 2]]) });
    t.same([count(all, busy), count(all, calm), count(all, failing)], [3, 5, 0]);
    const probes = await claim({ failing: true, perEndpoint: 1 });
    t.same([count(probes, busy), count(probes, calm), count(probes, failing)], [0, 0, 1]);
    await empty();
  });

  t.test('one that asks to be left alone is, with all that it has', async (t) => {
    await filled(4);
    const [first] = await claim({ limit: 1 });
    if (first === undefined) throw new Error('none');
    await settle(first, { status: 429, retryAfterS: 600 });
    t.same(await claim({ now: later(NOW, 599), failing: true }), []);
    t.equal((await claim({ now: later(NOW, 600), failing: true })).length, 4);
    await empty();
  });

  t.test('one that takes something fails no more, even if what it took was sent before it failed', async (t) => {
    const made = await filled(2);
    const [first, second] = await claim();
    if (first === undefined || second === undefined) throw new Error('none');
    await settle(first, refused);
    t.match(await store.find(made.id), { failingSince: NOW });
    t.match(await settle(second, taken), { delivery: { state: 'delivered' }, news: ['recovered'] });
    t.match(await store.find(made.id), { failingSince: null });
    await empty();
  });

  t.test('one that says it is gone is disabled with its event, and gives up what is pending', async (t) => {
    const made = await filled(3);
    const [first] = await claim({ limit: 1 });
    if (first === undefined) throw new Error('none');
    await settle(first, { status: 410, retryAfterS: null });
    t.match(await store.find(made.id), { disabledAt: NOW, disabledReason: 'gone' });
    const rows = await deliveries(made.id);
    t.same(
      rows.map(({ state }) => state),
      ['failed', 'failed', 'failed'],
    );
    const told = await rowsOf(database, 'audit_events', `event = 'webhook.disabled' AND details ->> 'reason' = 'gone'`);
    t.match(told, [{ actor: 'service', outcome: 'failure', details: { webhook_id: made.id } }]);
    t.same(await outbox.active(), []);
    t.equal((await outbox.backlog(10)).disabled, 1);
    const test = { id: v7(), eventId: null, event: 'webhook.test', body: '{}' };
    t.equal(await store.addDelivery(made.id, test, NOW, audit('webhook.updated')), null);
    t.equal(await store.retry(made.id, null, NOW, () => audit('webhook.updated')), 0);

    await add(database, 5);
    await seal();
    const enable = { disabledAt: null, disabledReason: null, failingSince: null };
    await store.change(made.id, () => ({ changes: enable, audit: audit('webhook.updated') }), NOW);
    await seal();
    while (await outbox.fill(made.id, 100, make, NOW));
    const later = (await deliveries(made.id)).slice(3);
    t.same(
      later.map(({ event }) => event),
      ['webhook.updated'],
      'enabled, it gets what comes from then on',
    );
    t.match(await store.addDelivery(made.id, test, NOW, audit('webhook.updated')), { ...test, body: undefined });
    await empty();
  });

  t.test('what has failed can be sent again, one or all, and is shown', async (t) => {
    const made = await filled(4);
    for (const claimed of await claim({ limit: 3 })) await outbox.settle(claimed, (now) => settleLast(now, refused));
    const failed = await store.deliveries(made.id, 'failed', null, 10);
    t.equal(failed.length, 3);
    t.match(failed, [{ state: 'failed', lastStatus: 500, nextAt: null }, {}, {}]);
    const [page, rest] = [
      await store.deliveries(made.id, null, null, 2),
      await store.deliveries(made.id, null, (await store.deliveries(made.id, null, null, 2))[1]?.id ?? null, 10),
    ];
    t.same(
      [...page, ...rest].map(({ id }) => id),
      (await deliveries(made.id)).map(({ id }) => id).reverse(),
    );
    const one = failed[0]?.id ?? '';
    const events: number[] = [];
    const event = (count: number) => {
      events.push(count);
      return audit('webhook.updated');
    };
    t.equal(await store.retry(made.id, one, NOW, event), 1);
    t.equal(await store.retry(made.id, one, NOW, event), 0);
    t.equal(await store.retry(made.id, null, NOW, event), 2);
    t.same(events, [1, 2]);
    t.match(await store.findDelivery(made.id, one), { state: 'pending', attempts: 0, nextAt: NOW });
    for (const claimed of await claim({ failing: true })) {
      if (claimed.id === one) await settle({ ...claimed, attempt: 1 }, refused, later(NOW, 3600));
    }
    const soon = later(NOW, 1200);
    t.match(await store.findDelivery(made.id, one), { attempts: 1, nextAt: later(NOW, 3605) });
    t.equal(await store.retry(made.id, null, soon, event), 1, 'what waits, and nothing that somebody may be at');
    t.match(await store.findDelivery(made.id, one), { state: 'pending', attempts: 0, nextAt: soon, madeAt: soon });
    t.equal(await store.findDelivery(v7(), one), null);
    await empty();
  });

  t.test('what has not been taken goes with its endpoint', async (t) => {
    const made = await filled(3);
    const [first, second] = await claim({ limit: 2 });
    if (first === undefined || second === undefined) throw new Error('none');
    await settle(first, taken);
    await outbox.settle(second, (now) => settleLast(now, refused));
    t.ok(await store.delete(made.id, audit('webhook.updated')));
    t.same(
      (await deliveries(made.id)).map(({ state, body }) => [state, body]),
      [['delivered', null]],
    );
    t.same(await claim({ failing: true }), []);
    await empty();
  });

  t.test('what is done is taken away some days later', async (t) => {
    const made = await filled(3);
    const [first, second] = await claim({ limit: 2 });
    if (first === undefined || second === undefined) throw new Error('none');
    const long = later(NOW, -30 * 86_400);
    await settle(first, taken, long);
    await outbox.settle(second, (now) => settleLast(now, refused, long));
    const expired = createExpiredRows(database);
    t.match(await expired.remove('webhook_deliveries', instant(0), NOW, 10), { rows: 2 });
    t.same(
      (await deliveries(made.id)).map(({ state }) => state),
      ['pending'],
    );
    await empty();
  });
}

const triedBy = ({ attempt, madeAt, endpoint: { url } }: Claimed) => ({ attempt, url, madeAt });
const settleLast = (now: WebhookEndpoint, result: SendResult, at = NOW) =>
  settle(now, { attempt: 10, url: now.url, madeAt: NOW }, result, at, 0);

t.test('webhooks', (t) =>
  onEachDatabase(t, async (t, database) => {
    for (const part of [endpoints, filling, sending]) await t.test(part.name, (t) => part(t, database));
  }),
);
