/** What a node sends, and when, with an outbox that does as it is told. */
import t from 'tap';
import { createIds } from '../../src/domain/ids.js';
import { instant } from '../../src/domain/types.js';
import { createWebhookSecrets } from '../../src/domain/webhook-secrets.js';
import { createWebhookSending, type WebhookReport } from '../../src/domain/webhook-sending.js';
import type { WebhookEndpoint } from '../../src/domain/webhooks.js';
import { countNothing } from '../../src/ports/metrics.js';
import type { Claimed, WebhookOutbox } from '../../src/ports/webhook-outbox.js';
import type { SendResult } from '../../src/ports/webhook-sender.js';
import { fakeClock } from '../support/clock.js';
import { severalKeks } from '../support/signing-keys.js';

const random = { bytes: (length: number) => new Uint8Array(length) };
const secrets = createWebhookSecrets(severalKeks('k1'), random);

const endpointOf = (id: string): WebhookEndpoint => ({
  ...{ id, url: 'https://siem.example.com/', events: ['*'], description: null, createdAt: instant(0) },
  ...{ secrets: secrets.make(id).secrets, previousUntil: null, disabledAt: null, disabledReason: null },
  ...{ failingSince: null, toldAt: null, notBefore: null },
});

const claimedOf = (id: string): Claimed => ({
  ...{ id: `delivery-${id}`, event: 'login.failed', body: '{}', attempt: 1, madeAt: instant(0) },
  endpoint: endpointOf(id),
});

interface World {
  fill(id: string): boolean | null;
  result?: SendResult;
  /** How the endpoint is found when what came of an attempt is stored. */
  found?: (endpoint: WebhookEndpoint) => WebhookEndpoint;
}

/** Of each endpoint one delivery is due when something was made for it. */
function setUp(ids: string[], { fill, result = { status: 200, retryAfterS: null }, found = (it) => it }: World) {
  const [log, reports, due]: [string[], WebhookReport[], Claimed[]] = [[], [], []];
  const outbox: WebhookOutbox = {
    active: async () => ids.map((id) => ({ id, isBehind: true })),
    fill: async (id) => {
      const isMore = fill(id);
      log.push(`fill ${id}`);
      due.push(claimedOf(id));
      return isMore;
    },
    claim: async ({ failing }) => (failing ? [] : due.splice(0)),
    settle: async (claimed, decide) => {
      const settlement = decide(found(claimed.endpoint));
      log.push(`${settlement.delivery.state} ${claimed.endpoint.id}`);
      return settlement;
    },
    release: async () => {},
    backlog: async () => ({ pending: 0, oldest: null, disabled: 0 }),
  };
  const clock = fakeClock();
  const sending = createWebhookSending({
    ...{ outbox, secrets, clock, random, ids: createIds(clock, random), metrics: countNothing },
    sender: { send: async () => result },
  });
  const run = async () => {
    await sending.run((report) => reports.push(report));
    await sending.settled();
  };
  return { run, log, reports, clock };
}

t.test('one for which nothing can be made keeps nobody else from what is due', async (t) => {
  const { run, log, reports } = setUp(['broken', 'good'], {
    fill(id) {
      if (id === 'broken') throw new Error('canceling statement due to statement timeout');
      return false;
    },
  });
  await run();
  t.same(log, ['fill good', 'delivered good']);
  t.match(reports, [{ news: 'unfilled', webhook: 'broken', error: /timeout/ }]);
  t.equal(reports.length, 1);
});

t.test('one that has no room is not asked each second whether it has', async (t) => {
  const { run, log, clock } = setUp(['full'], { fill: () => null });
  const asked = async () => {
    await run();
    return log.filter((line) => line.startsWith('fill')).length;
  };
  t.equal(await asked(), 1);
  clock.setBack(3600);
  clock.advance(9);
  t.equal(await asked(), 1);
  clock.advance(1);
  t.equal(await asked(), 2);
});

t.test('what was made goes out while more is being made', async (t) => {
  const { run, log } = setUp(['far'], { fill: () => true });
  await run();
  t.ok(log.indexOf('delivered far') < log.lastIndexOf('fill far'));
});

t.test('an endpoint that was moved while it was sent to is not judged by where it was', async (t) => {
  const moved = (it: WebhookEndpoint) => ({ ...it, url: 'https://new.example.com/' });
  const { run, log, reports } = setUp(['moved'], {
    fill: () => false,
    result: { status: 410, retryAfterS: null },
    found: moved,
  });
  await run();
  t.same([log, reports], [['fill moved', 'pending moved'], []]);
});
