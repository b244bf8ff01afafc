/** How audit events are sealed, removed, found, and found wanting, on every database. */
import t, { type Test } from 'tap';
import { createAuditSeals } from '../../src/adapters/postgres/audit-seals.js';
import { createAuditTrail } from '../../src/adapters/postgres/audit-trail.js';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createAuditAdministration } from '../../src/domain/audit-administration.js';
import { type AuditSeal, linkOf, sealOf } from '../../src/domain/audit-chain.js';
import { createAuditSealing } from '../../src/domain/audit-sealing.js';
import { countNothing } from '../../src/ports/metrics.js';
import { onEachDatabase, postgresDatabase, withoutPostgres } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';
import { auditTrailContract } from './audit-trail.js';

const DAY_MS = 86_400_000;
const event = (n: number) =>
  `(now(), 'login.failed', 'failure', 'anonymous', '192.0.2.${n % 256}', '{"n":${n},"a":[1,"é"]}')`;

/** Events, each of a transaction of its own where they are one. */
const add = (database: Database, count = 1): Promise<void> =>
  execute(
    database,
    `INSERT INTO audit_events (at, event, outcome, actor, ip, details)
      VALUES ${Array.from({ length: count }, (_, n) => event(n)).join(', ')}`,
  );

/** As somebody does who owns the tables. */
const tamper = async (database: Database, text: string): Promise<void> => {
  for (const table of ['audit_events', 'audit_seals'])
    await execute(database, `ALTER TABLE ${table} DISABLE TRIGGER USER`);
  await execute(database, text);
  for (const table of ['audit_events', 'audit_seals'])
    await execute(database, `ALTER TABLE ${table} ENABLE TRIGGER USER`);
};

function chainOn(database: Database) {
  const seals = createAuditSeals(database);
  const sealing = createAuditSealing(seals, countNothing);
  const audit = createAuditAdministration(createAuditTrail(database), seals);
  return {
    audit,
    seals,
    seal: () => sealing.run(),
    /** A batch of so many events that says it was sealed so many days ago. */
    async sealed(count: number, days = 0): Promise<AuditSeal> {
      await add(database, count);
      const mark = await seals.mark(1000);
      if (mark === null) throw new Error('nothing to seal');
      const sealing = await seals.seal(mark, 1000, (before, events, now) =>
        sealOf(before, events, new Date(now.getTime() - days * DAY_MS)),
      );
      if (sealing.outcome !== 'sealed') throw new Error(sealing.outcome);
      return sealing.seal;
    },
    /** The whole of it. */
    async verify() {
      const found = { seals: 0, steps: 0, beginning: 0 };
      let step = await audit.verify(null);
      found.beginning = step.beginning?.sequence ?? 0;
      for (; ; step = await audit.verify(step.next)) {
        found.seals += step.seals.length;
        found.steps++;
        if (step.next === null) return { ...found, problem: step.problem, unsealed: step.unsealed };
      }
    },
  };
}

/** What is done in `work` is taken back. */
async function undone(database: Database, work: (tampered: Database) => Promise<void>): Promise<void> {
  const back = new Error('back');
  await database
    .transaction(async (sql) => {
      await work({ ...database, query: sql.query, transaction: (inner) => inner(sql) });
      throw back;
    })
    .catch((error) => {
      if (error !== back) throw error;
    });
}

async function sealing(t: Test, database: Database): Promise<void> {
  const chain = chainOn(database);

  t.test('events are sealed in batches, each chained to the one before', async (t) => {
    t.same(await chain.seal(), [], 'nothing is nothing to seal');
    t.match(await chain.verify(), { seals: 0, problem: null, unsealed: 0 });
    await add(database, 1_200);
    t.match(await chain.seals.backlog(1000), { events: 1000 });
    const made = await chain.seal();
    t.same(
      made.map(({ sequence, count }) => [sequence, count]),
      [
        [1, 500],
        [2, 500],
        [3, 200],
      ],
    );
    t.equal(made[1]?.previousHash, made[0]?.hash);
    t.same(await chain.seals.after(0, 10), made, 'they are read as they were made');
    t.same(await chain.seals.backlog(1000), { events: 0, oldestS: 0 });
    await add(database);
    t.match(await chain.verify(), { seals: 3, problem: null, unsealed: 1 });
  });

  t.test('nobody changes, deletes or empties what is there', async (t) => {
    for (const table of ['audit_events', 'audit_seals']) {
      for (const change of [`UPDATE ${table} SET first_id = 1`, `DELETE FROM ${table}`, `TRUNCATE ${table}`]) {
        const text = change.replace('SET first_id', table === 'audit_seals' ? 'SET first_id' : 'SET id');
        await t.rejects(execute(database, text), { code: '42501' }, text);
      }
    }
    t.equal((await rowsOf(database, 'audit_seals')).length, 3);
  });

  t.test('nobody adds what could not be shown, or what nothing could come after', async (t) => {
    const bad = [
      ...["2000, 'infinity'", "2000, '-infinity'", "2000, '1969-12-31T23:59:59Z'", "2000, '10000-01-01T00:00:00Z'"],
      ...['0, now()', '-1, now()', '9223372036854775807, now()'],
    ];
    for (const values of bad) {
      const text = `INSERT INTO audit_events (id, at, event, outcome, actor) VALUES (${values}, 'login.failed', 'failure', 'x')`;
      await t.rejects(execute(database, text), { code: '23514' }, values);
    }
  });

  const middle = async () => (await chain.seals.after(1, 1))[0] ?? Promise.reject(new Error('no seal'));

  t.test('the first thing amiss is named', async (t) => {
    await chain.seal();
    const { firstId, lastId } = await middle();
    const [first, inside, next] = [Number(firstId), Number(firstId) + 10, Number(firstId) + 11];
    const where = `WHERE id = ${inside}`;
    const swapped = `UPDATE audit_events AS e SET details = o.details, ip = o.ip FROM audit_events AS o
        WHERE (e.id, o.id) IN ((${inside}, ${next}), (${next}, ${inside}))`;
    const moved = `UPDATE audit_events SET id = CASE id WHEN ${inside} THEN 1000000 ELSE ${inside} END
        WHERE id IN (${inside}, ${next})`;
    const cases: [what: string, text: string, problem: object][] = [
      [
        'changed',
        `UPDATE audit_events SET ip = '192.0.2.99' ${where}`,
        { problem: 'event_changed', event: `${inside}` },
      ],
      [
        'changed within',
        `UPDATE audit_events SET details = details || '{"n":-1}' ${where}`,
        { problem: 'event_changed', event: `${inside}` },
      ],
      ['missing', `DELETE FROM audit_events ${where}`, { problem: 'event_missing', event: `${next}` }],
      [
        'the first is missing',
        `DELETE FROM audit_events WHERE id = ${first}`,
        { problem: 'event_missing', event: `${first + 1}` },
      ],
      [
        'the last is missing',
        `DELETE FROM audit_events WHERE id = ${lastId}`,
        { problem: 'event_missing', event: null },
      ],
      ['reordered', swapped, { problem: 'event_changed', event: `${inside}` }],
      ['one in the place of another', moved, { problem: 'event_changed', event: `${inside}` }],
      [
        'a seal changed',
        `UPDATE audit_seals SET sealed_at = sealed_at - interval '1 day' WHERE sequence = 2`,
        { problem: 'seal_changed' },
      ],
      [
        'hashes changed',
        `UPDATE audit_seals SET event_hashes = set_byte(event_hashes, 7, 255 - get_byte(event_hashes, 7)) WHERE sequence = 2`,
        { problem: 'seal_changed' },
      ],
      ['a seal missing', `DELETE FROM audit_seals WHERE sequence = 2`, { problem: 'seal_missing' }],
      ['the form of later', `UPDATE audit_seals SET form = 2 WHERE sequence = 2`, { problem: 'form_unknown' }],
    ];
    for (const [what, text, problem] of cases) {
      await undone(database, async (tampered) => {
        await tamper(tampered, text);
        t.match(await chainOn(tampered).verify(), { seals: 1, problem: { seal: 2, ...problem } }, what);
      });
    }
    await undone(database, async (tampered) => {
      await tamper(tampered, `DELETE FROM audit_seals WHERE sequence = 1`);
      t.match(
        await chainOn(tampered).verify(),
        { problem: { problem: 'seal_missing', seal: 1 } },
        'cut at the beginning',
      );
    });
    t.match(await chain.verify(), { problem: null });
  });

  t.test('an event that was put into a sealed batch is named', async (t) => {
    const { firstId } = await middle();
    const inside = Number(firstId) + 10;
    await undone(database, async (tampered) => {
      await tamper(tampered, `DELETE FROM audit_events WHERE id > ${inside} - 1 AND id <= ${inside}`);
      await execute(
        tampered,
        `INSERT INTO audit_events (id, at, event, outcome, actor) VALUES (${inside}, now(), 'login.failed', 'failure', 'x')`,
      );
      t.match(await chainOn(tampered).verify(), {
        problem: { problem: 'event_changed', seal: 2, event: `${inside}` },
      });
    });
    await execute(database, 'ALTER SEQUENCE audit_events_id_seq RESTART WITH 2000');
    await chain.sealed(3);
    await undone(database, async (tampered) => {
      await execute(
        tampered,
        `INSERT INTO audit_events (id, at, event, outcome, actor) VALUES (1900, now(), 'login.failed', 'failure', 'x')`,
      );
      t.match(await chainOn(tampered).verify(), { problem: { problem: 'event_inserted', event: '1900' } });
    });
  });

  t.test('an event that was put before the first one is named', async (t) => {
    for (const id of [0, -3]) {
      await undone(database, async (tampered) => {
        await tamper(tampered, 'ALTER TABLE audit_events DROP CONSTRAINT IF EXISTS audit_events_bounds_check');
        await execute(
          tampered,
          `INSERT INTO audit_events (id, at, event, outcome, actor) VALUES (${id}, now(), 'login.failed', 'failure', 'x')`,
        );
        t.match(await chainOn(tampered).verify(), { problem: { problem: 'event_inserted', seal: 1, event: `${id}` } });
      });
    }
  });

  t.test('a long chain is verified step by step', async (t) => {
    for (let n = 0; n < 45; n++) await chain.sealed(1);
    const { steps, problem } = await chain.verify();
    t.equal(problem, null);
    t.equal(steps, 4);
  });
}

async function retention(t: Test, database: Database): Promise<void> {
  const chain = chainOn(database);
  const DAY_S = 86_400;
  const tomorrow = new Date(Date.now() + DAY_MS);
  const expire = (limit = 1000, keptS = 10 * DAY_S) => chain.seals.expire(tomorrow, keptS, limit);
  const events = async () => (await rowsOf(database, 'audit_events')).length;

  t.test('removes whole batches that are old enough from the beginning, and the rest can be verified', async (t) => {
    const old = [await chain.sealed(5, 30), await chain.sealed(5, 20), await chain.sealed(5, 11)];
    await chain.sealed(5, 9);
    await chain.sealed(5, 15);
    await add(database, 3);
    const before = await chain.verify();
    t.match(before, { seals: 5, problem: null, unsealed: 3, beginning: 0 });

    t.equal(await expire(6), 10, 'about as many as asked for');
    t.match(await rowOf(database, 'audit_events', `event = 'audit.expired'`), {
      outcome: 'success',
      actor: 'service',
      details: { events: 10, through_seal: 2, through_id: old[1]?.lastId, hash: old[1]?.hash },
    });
    t.match(await chain.verify(), { seals: 3, problem: null, beginning: 2 });
    t.equal(await expire(), 5, 'and none that is younger, nor what comes after');
    t.equal(await expire(), 0);
    t.match(await chain.verify(), { seals: 2, problem: null, beginning: 3, unsealed: 5 });
    const overtaken = old[0] && (await chain.audit.verify(linkOf(old[0])));
    t.match(overtaken, { seals: [], problem: null, next: { sequence: 3 } }, 'a verification that it overtakes goes on');
    await chain.seal();
    t.match(await chain.verify(), { seals: 3, problem: null, unsealed: 0 });
  });

  t.test('keeps what has to be kept by the clock of the database, and the newest seal', async (t) => {
    const left = await events();
    t.equal(await expire(1000, 100 * DAY_S), 0);
    t.equal(await events(), left);
    const { count } = (await chain.seals.after(5, 1))[0] ?? { count: 0 };
    t.equal(await chain.seals.expire(tomorrow, -DAY_S, 1000), left - count);
    t.match(await chain.verify(), { seals: 1, problem: null, beginning: 5, unsealed: 1 });
  });

  t.test('is not believed where it makes no sense: all that is there is verified', async (t) => {
    const claims = [
      ...['null', '{}', '[]', '{"through_seal":null,"through_id":"1"}'],
      ...['{"through_seal":"x","through_id":"y","hash":"z"}', '{"through_seal":99999999999,"through_id":"1"}'],
      `{"through_seal":0,"through_id":"0","hash":"${'0'.repeat(64)}"}`,
    ];
    const before = await chain.verify();
    for (const claim of claims) {
      await undone(database, async (tampered) => {
        await execute(
          tampered,
          `INSERT INTO audit_events (at, event, outcome, actor, details)
            VALUES (now(), 'audit.expired', 'success', 'service', '${claim}')`,
        );
        t.same(await chainOn(tampered).verify(), { ...before, unsealed: (before.unsealed ?? 0) + 1 }, claim);
      });
    }
  });

  t.test('is believed only when what it tells of is gone', async (t) => {
    const { sequence, lastId, hash } = await chain.sealed(4);
    await chain.sealed(1);
    const claim = `INSERT INTO audit_events (at, event, outcome, actor, details) VALUES (now(), 'audit.expired', 'success',
        'service', '{"through_seal":${sequence},"through_id":"${lastId}","hash":"${hash}"}')`;
    await undone(database, async (tampered) => {
      await execute(tampered, claim);
      t.match(await chainOn(tampered).verify(), { problem: { problem: 'not_removed', seal: sequence } });
      await tamper(tampered, `DELETE FROM audit_seals WHERE sequence <= ${sequence}`);
      t.match(await chainOn(tampered).verify(), { problem: { problem: 'not_removed' } }, 'events are left');
    });
  });
}

/** One database for all of it: to open the embedded one takes seconds. */
t.test('the audit trail', (t) =>
  onEachDatabase(t, async (t, database) => {
    for (const part of [sealing, retention, auditTrailContract]) {
      await t.test(part.name, (t) => part(t, database));
      await tamper(database, 'TRUNCATE audit_events, audit_seals RESTART IDENTITY');
    }
  }),
);

t.test('with several connections', { skip: withoutPostgres }, async (t) => {
  const database = await postgresDatabase(t);

  /** A transaction that has added an event, and commits when it is told to. */
  async function writer(): Promise<() => Promise<void>> {
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    let committed: Promise<void> = Promise.resolve();
    await new Promise<void>((ready) => {
      committed = database.transaction(async (sql) => {
        const text = `INSERT INTO audit_events (at, event, outcome, actor) VALUES (now(), 'login.failed', 'failure', 'x')`;
        await sql.query({ name: '', text }, []);
        ready();
        await ended;
      });
    });
    return () => {
      end();
      return committed;
    };
  }

  t.test('nothing is sealed that a transaction in progress may still come before', async (t) => {
    const chain = chainOn(database);
    const commit = await writer();
    await add(database, 3);
    t.same(await chain.seal(), [], 'it has the smallest id');
    t.same(await chain.seal(), []);
    t.match(await chain.seals.backlog(10), { events: 3 });
    await commit();
    t.match(await chain.seal(), [{ count: 3 + 1 }]);
    t.match(await chain.verify(), { problem: null, unsealed: 0 });
  });

  t.test('those who begin later are not waited for, though there always be some', async (t) => {
    const chain = chainOn(database);
    let commit = await writer();
    await add(database, 2);
    t.same(await chain.seal(), []);
    for (let n = 0; n < 3; n++) {
      const next = await writer();
      await commit();
      const made = await chain.seal();
      t.ok(made.length > 0, 'what was there when the last one was not');
      commit = next;
      await add(database, 2);
      t.same(await chain.seal(), []);
    }
    await commit();
    await chain.seal();
    t.match(await chain.verify(), { problem: null, unsealed: 0 });
  });

  t.test('of many nodes one seals, while others add: every event is in one batch', async (t) => {
    const nodes = Array.from({ length: 5 }, () => chainOn(database));
    let adding = 8;
    const writers = Array.from({ length: adding }, async () => {
      for (let n = 0; n < 25; n++) await add(database);
      adding--;
    });
    const sealers = nodes.map(async ({ seal }) => {
      while (adding > 0) await seal();
    });
    await Promise.all([...writers, ...sealers]);
    const [node = chainOn(database)] = nodes;
    while ((await node.seals.backlog(1)).events > 0) for (const { seal } of nodes) await seal();
    t.match(await node.verify(), { problem: null, unsealed: 0 });
    const sealed = await rowOf(database, '(SELECT sum(count)::integer AS events FROM audit_seals) AS all_of_them');
    t.equal(sealed.events, (await rowsOf(database, 'audit_events')).length);
  });

  t.test('what one server said of its transactions counts for no other', async (t) => {
    const chain = chainOn(database);
    await add(database);
    const mark = await chain.seals.mark(10);
    if (mark === null) throw new Error('nothing to seal');
    t.match(await chain.seals.seal({ ...mark, server: 'another' }, 10, sealOf), { outcome: 'void' });
    t.match(await chain.seals.seal(mark, 10, sealOf), { outcome: 'sealed' });
    t.match(await chain.seals.seal(mark, 10, sealOf), { outcome: 'nothing' });
  });
});
