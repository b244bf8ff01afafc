/** How audit events are found: for audit.test.ts, on every database, with nothing in the trail. */
import type { Test } from 'tap';
import { createAuditTrail } from '../../src/adapters/postgres/audit-trail.js';
import type { Database, Sql } from '../../src/adapters/postgres/database.js';
import type { AuditFilter, AuditOrder, AuditPlace } from '../../src/domain/audit-record.js';
import { execute } from '../support/service.js';

const START = Date.UTC(2026, 2, 1);
const uuid = (n: number) => `01970000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const COUNT = 60;

/** Two a second, so that ids decide; the later ones have the smaller ids. Three users, ten sessions, one odd address. */
const seed = `INSERT INTO audit_events (at, event, outcome, actor, user_id, session_id, by_session_id, jti, by_jti, ip, details)
  SELECT to_timestamp(${START / 1000} + (${COUNT} - i) / 2),
    CASE WHEN i % 2 = 0 THEN 'login.succeeded' ELSE 'session.ended' END, 'success', 'anonymous',
    ('01970000-0000-7000-8000-' || lpad((i % 3)::text, 12, '0'))::uuid,
    ('01970000-0000-7000-8000-' || lpad((i % 10)::text, 12, '0'))::uuid,
    CASE WHEN i = 7 THEN '${uuid(5)}'::uuid END, CASE WHEN i = 8 THEN 'j' END, CASE WHEN i = 9 THEN 'j' END,
    CASE WHEN i = 50 THEN '192.0.2.1' END, jsonb_build_object('i', i)
  FROM generate_series(0, ${COUNT - 1}) AS i`;

export async function auditTrailContract(t: Test, database: Database): Promise<void> {
  await execute(database, seed);
  const trail = createAuditTrail(database);
  const numbers = (events: readonly { details: Record<string, unknown> | null }[]) =>
    events.map(({ details }) => Number(details?.i));

  /** Page by page to the end, and how many pages it took. */
  async function all(filter: AuditFilter, limit: number, { order = 'newest_first' as AuditOrder, of = trail } = {}) {
    const found: number[] = [];
    let pages = 0;
    for (let after: AuditPlace | null = null; ; ) {
      const page = await of.search(filter, order, after, limit);
      found.push(...numbers(page.items));
      pages++;
      if (page.next === null) return { found, pages };
      after = page.next;
    }
  }
  const those = (is: (i: number) => boolean) => Array.from({ length: COUNT }, (_, i) => i).filter(is);
  /** By time, and then by id. */
  const second = (i: number) => Math.floor((COUNT - i) / 2);
  const oldest = (numbers: number[]) => [...numbers].sort((a, b) => second(a) - second(b) || a - b);

  t.test('is in the order of time, and then of the ids, either way, on pages of any size', async (t) => {
    const expected = oldest(those(() => true));
    t.same(await all({}, 7, { order: 'oldest_first' }), { found: expected, pages: 9 });
    t.same(await all({}, 7), { found: expected.toReversed(), pages: 9 });
    t.same((await all({}, COUNT)).pages, 1, 'a page that ends with the last one is the last');
  });

  t.test('is searched by whom, by what and when', async (t) => {
    const cases: [AuditFilter, (i: number) => boolean][] = [
      [{ userId: uuid(1) }, (i) => i % 3 === 1],
      [{ sessionId: uuid(5) }, (i) => i % 10 === 5 || i === 7],
      [{ jti: 'j' }, (i) => i === 8 || i === 9],
      [{ event: 'session.ended' }, (i) => i % 2 === 1],
      [{ event: 'session.*' }, (i) => i % 2 === 1],
      [{ event: 'session.end' }, () => false],
      [{ event: 'session_*' }, () => false],
      [{ ip: '192.0.2.1' }, (i) => i === 50],
      [{ since: START + 10_000, until: START + 20_000 }, (i) => second(i) >= 10 && second(i) < 20],
      [{ userId: uuid(2), event: 'login.*', since: START + 5_000 }, (i) => i % 6 === 2 && second(i) >= 5],
      [{ sessionId: uuid(5), outcome: 'failure' }, () => false],
    ];
    for (const [filter, is] of cases) {
      const { found } = await all(filter, 4, { order: 'oldest_first' });
      t.same(found, oldest(those(is)), JSON.stringify(filter));
    }
  });

  t.test('is searched by many things at once, and each set of them by itself', async (t) => {
    const actor = 'anonymous';
    const wide = { actor, clientId: 'c', event: 'login.*', ip: '192.0.2.1' };
    for (const last of [{ jti: 'j' }, { outcome: 'success' }, { requestId: 'r' }, { since: START }])
      t.same((await all({ ...wide, ...last }, 50)).found, [], Object.keys(last).join());
    const found = { actor, event: 'login.*', ip: '192.0.2.1', outcome: 'success', since: START, userId: uuid(50 % 3) };
    t.same((await all(found, 50)).found, [50]);
  });

  t.test('what no index finds is looked for in parts, and all of it is found', async (t) => {
    const of = createAuditTrail(database, 10);
    for (const order of ['newest_first', 'oldest_first'] as const)
      t.same(await all({ ip: '192.0.2.1' }, 5, { order, of }), { found: [50], pages: 7 }, order);
    const { found } = await all({ event: 'login.succeeded' }, 3, { of });
    t.same(found, oldest(those((i) => i % 2 === 0)).toReversed());
  });

  t.test('each is found once, whatever is added or removed while it is looked for', async (t) => {
    /** The oldest go, and new ones come, after the first question of a search. */
    const moved = (sql: Sql): Database => {
      let asked = 0;
      const query: Sql['query'] = async (statement, values) => {
        const rows = await sql.query(statement, values);
        if (++asked === 1) for (const { text } of moves) await sql.query({ name: '', text }, []);
        return rows as never;
      };
      return { ...database, query };
    };
    const moves = [
      `ALTER TABLE audit_events DISABLE TRIGGER USER`,
      `DELETE FROM audit_events WHERE at < to_timestamp(${START / 1000 + 3})`,
      `INSERT INTO audit_events (at, event, outcome, actor, ip)
        SELECT to_timestamp(${START / 1000 + 3600}), 'login.failed', 'failure', 'x', '192.0.2.9' FROM generate_series(1, 5)`,
    ].map((text) => ({ text }));
    for (const order of ['newest_first', 'oldest_first'] as const) {
      const back = new Error('back');
      const looked = database.transaction(async (sql) => {
        const of = createAuditTrail(moved(sql), 10);
        const { found } = await all({ actor: 'anonymous' }, 20, { order, of });
        const left = found.filter((i) => second(i) >= 3);
        const expected = oldest(those((i) => second(i) >= 3));
        t.same(left, order === 'oldest_first' ? expected : expected.toReversed(), order);
        throw back;
      });
      await t.rejects(looked, back);
    }
  });

  t.test('an event comes back as it was stored', async (t) => {
    const { items } = await trail.search({ jti: 'j' }, 'oldest_first', null, 1);
    t.same(items, [
      {
        ...{
          id: '10',
          at: '2026-03-01T00:00:25.000Z',
          event: 'session.ended',
          outcome: 'success',
          actor: 'anonymous',
        },
        ...{ user_id: uuid(0), session_id: uuid(9), client_id: null, jti: null, by_session_id: null, by_jti: 'j' },
        ...{ ip: null, place: null, user_agent: null, request_id: null, details: { i: 9 } },
      },
    ]);
  });
}
