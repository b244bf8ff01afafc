import t from 'tap';
import { createCleanUp } from '../../src/domain/clean-up.js';
import { type Instant, instant } from '../../src/domain/types.js';
import type { Cleaned, ExpiredRows, Expiring } from '../../src/ports/expired-rows.js';
import { countNothing, type Metrics } from '../../src/ports/metrics.js';
import { fakeClock } from '../support/clock.js';

const DAY_S = 86_400;

/** Batches of the audit trail, by how many events they have. */
class Audited {
  readonly asked: [before: string, keptS: number][] = [];
  constructor(
    private readonly batches: (number | null)[],
    readonly retention = 400 * DAY_S,
  ) {}
  async expire(before: Date, keptS: number): Promise<number | null> {
    this.asked.push([before.toISOString(), keptS]);
    const [batch = 0] = this.batches.splice(0, 1);
    return batch;
  }
}

/** Rows by the instant of their end; a batch takes `seconds`. */
function setUp(
  ended: Partial<Record<Expiring, number[]>>,
  seconds = 0.01,
  isBusy = () => false,
  audited = new Audited([]),
) {
  const ends: Record<Expiring, number[]> = { sessions: [], revocations: [], webhook_deliveries: [], ...ended };
  const clock = fakeClock();
  const pauses: number[] = [];
  const counted: [Cleaned, number][] = [];
  const asked: { what: Expiring; from: Instant }[] = [];
  const rows: ExpiredRows = {
    async remove(what, from, before, limit) {
      if (isBusy()) return null;
      asked.push({ what, from });
      clock.advance(seconds);
      const due = ends[what].filter((end) => end >= from && end < before).slice(0, limit);
      ends[what] = ends[what].filter((end) => !due.includes(end));
      return { rows: due.length, upTo: instant(due.at(-1) ?? from) };
    },
    count: async (what, before) => ends[what].filter((end) => end < before).length,
  };
  const metrics: Metrics = { ...countNothing, cleanUpBacklog: (what, left) => void counted.push([what, left]) };
  const timed = { ...clock, pause: async (ms: number) => void pauses.push(ms) };
  const parts = { rows, seals: audited, auditRetention: audited.retention, metrics, clock: timed };
  return { clock, pauses, counted, asked, run: createCleanUp(parts).run };
}

const START = fakeClock().now();
const endings = (count: number, last: number) => Array.from({ length: count }, (_, i) => last - count + i);

t.test('what has ended is removed: sessions a day later, revocations at once', async (t) => {
  const sessions = [START - DAY_S * 1000 - 1, START - 1];
  const { run, counted } = setUp({ sessions, revocations: [START - 1, START + 1000] });
  t.match(await run(), { sessions: 1, revocations: 1 });
  t.same(counted, [
    ['sessions', 0],
    ['webhook_deliveries', 0],
    ['revocations', 0],
  ]);
});

t.test('a batch begins where the one before ended, and between them is a pause as long as it took', async (t) => {
  const { run, pauses, asked } = setUp({ revocations: endings(2_500, START) });
  t.match(await run(), { sessions: 0, revocations: 2_500 });
  const begun = asked.filter(({ what }) => what === 'revocations').map(({ from }) => from);
  t.same(begun, [0, START - 1_501, START - 501]);
  t.same(pauses.map(Math.round), [10, 10]);
});

t.test('a run ends after 50 seconds, and says how much is left', async (t) => {
  const { run, counted } = setUp({ revocations: endings(5_000, START) }, 15);
  t.match(await run(), { sessions: 0, revocations: 2_000 });
  t.same(counted.at(-1), ['revocations', 3_000]);
});

t.test('however many sessions there are, the others have their time, each a third', async (t) => {
  const [ended, all] = [START - DAY_S * 1000, endings(9_000, START)];
  const { run } = setUp({ sessions: endings(9_000, ended), webhook_deliveries: all, revocations: all }, 5);
  t.match(await run(), { sessions: 4_000, webhook_deliveries: 3_000, revocations: 3_000 });
});

t.test('while another node is at it, nothing is removed', async (t) => {
  const { run } = setUp({ revocations: [START - 1] }, 0.01, () => true);
  t.match(await run(), { sessions: 0, revocations: 0 });
});

t.test('audit events go in whole days, batch by batch until none is left', async (t) => {
  const audited = new Audited([900, 300]);
  const { run, pauses } = setUp({}, 0.01, undefined, audited);
  t.same(await run(), { sessions: 0, revocations: 0, webhook_deliveries: 0, audit_events: 1_200 });
  const [asked] = audited.asked;
  t.same(asked, ['2025-01-25T00:00:00.000Z', 400 * DAY_S]);
  t.equal(audited.asked.length, 3);
  t.equal(pauses.length, 2);
});

t.test('audit events stay for ever with a retention of 0, and as long as another node is at it', async (t) => {
  const kept = new Audited([100], 0);
  t.match(await setUp({}, 0.01, undefined, kept).run(), { audit_events: 0 });
  t.same(kept.asked, []);
  const busy = new Audited([null, 100]);
  t.match(await setUp({}, 0.01, undefined, busy).run(), { audit_events: 0 });
  t.equal(busy.asked.length, 1);
});
