/** Does the clean-up keep up, and what do refreshes feel of it? */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectPostgres, type Database } from '../src/adapters/postgres/database.js';
import { createExpiredRows } from '../src/adapters/postgres/expired-rows.js';
import { migrate } from '../src/adapters/postgres/migrate.js';
import { createSessionStore } from '../src/adapters/postgres/session-store.js';
import { systemClock } from '../src/adapters/system/clock.js';
import { systemRandom } from '../src/adapters/system/random.js';
import { auditEvent } from '../src/domain/audit.js';
import { createCleanUp } from '../src/domain/clean-up.js';
import { createRefresh } from '../src/domain/refresh.js';
import { createSessionTokens } from '../src/domain/session-tokens.js';
import { instant, type SessionId, type UserId } from '../src/domain/types.js';
import { countNothing } from '../src/ports/metrics.js';
import { startPostgres } from '../test/support/servers.js';
import { makeSession } from '../test/support/sessions.js';
import { count, type Measurement, ms, quantile } from './measurement.js';

const SEED_ROWS = 500_000;
const CLIENTS = 20;
const caller = { ip: null, place: null, userAgent: null, requestId: null };

let statements = 0;
const execute = (database: Database, text: string) => database.query({ name: `bench_${statements++}`, text }, []);

const uuid = (n: number) => `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;

/** Refreshes at a steady rate, each client in its turn, and how long each took. */
async function clients(database: Database, rate: number) {
  const sessions = createSessionStore(database);
  await execute(
    database,
    `INSERT INTO users (id, email, email_key, password_hash, password_changed_at, created_at)
    VALUES ('${uuid(1)}', 'a@example.com', 'a@example.com', '', 'epoch', 'epoch')`,
  );
  await execute(
    database,
    `INSERT INTO clients (client_id, name, type, audiences, grants, access_token_ttl, idle_ttl,
    absolute_ttl, token_delivery, renew_after, created_at)
    VALUES ('default', 'Default', 'public', '{api}', '{password}', 900, 1209600, 7776000, 'body', 60, 'epoch')`,
  );
  const tokens: string[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const id = { id: uuid(i) as SessionId, userId: uuid(1) as UserId };
    const made = makeSession(systemClock.now(), [], id);
    const event = auditEvent('login.succeeded', 'success', systemClock.now(), caller, { actor: 'service' });
    await sessions.create({ ...made.found.session, deviceName: null, caller }, instant(0), event);
    tokens.push(made.tokens[0] ?? '');
  }
  const refresh = createRefresh({
    sessions,
    audit: { append: async () => {} },
    revocations: { enforce: async () => {} },
    metrics: countNothing,
    // The signature is no part of what is measured: the database is.
    tokens: createSessionTokens({ ensureCanIssue() {}, issue: async () => '' }, () => ''),
    provePassword: async () => {},
    clock: systemClock,
    random: systemRandom,
    settings: { replayWindow: Number.POSITIVE_INFINITY, reuseLeeway: 10 },
  });
  const request = { idempotencyKey: null, clientId: null, password: null, caller };
  return async (until: () => boolean): Promise<number[]> => {
    const took: number[] = [];
    const begun = performance.now();
    await Promise.all(
      tokens.map(async (_, i) => {
        for (let turn = i; !until(); turn += CLIENTS) {
          // Counted from when it should have begun: what a slow one delays is slow too.
          const due = begun + (turn * 1000) / rate;
          await sleep(Math.max(due - performance.now(), 0));
          const { response } = await refresh({ ...request, refreshToken: tokens[i] ?? '' });
          tokens[i] = response.refresh_token;
          took.push(performance.now() - due);
        }
      }),
    );
    return took.sort((a, b) => a - b);
  };
}

export const cleanUp: Measurement = {
  about: 'the clean-up of expired rows, and refreshes while it goes on',
  options: { rows: 11_000_000, rate: 200, seconds: 30 },
  async measure(scope, options, say) {
    const { rows = 0, rate = 0, seconds = 0 } = options;
    const server = await startPostgres({ durable: true, settings: { shared_buffers: '512MB', max_wal_size: '4GB' } });
    if (server === null) throw new Error('there is no PostgreSQL on this machine');
    scope.teardown(() => server.stop());
    const database = connectPostgres({ url: server.url, max: 10, onIdleError: () => {} });
    scope.teardown(() => database.close());
    await migrate(database, sleep);
    for (let from = 0; from < rows; from += SEED_ROWS) {
      await database.session(({ script }) =>
        script(`INSERT INTO revocations (id, kind, value, revoked_at, expires_at)
          SELECT i, 'jti', gen_random_uuid(), now() - interval '1 day', now() - make_interval(secs => ${rows} - i)
          FROM generate_series(${from + 1}, ${Math.min(from + SEED_ROWS, rows)}) AS i`),
      );
      say(`${count(Math.min(from + SEED_ROWS, rows))} of ${count(rows)} expired rows`);
    }
    for (const settle of ['VACUUM ANALYZE revocations', 'CHECKPOINT'])
      await database.session(({ script }) => script(settle));

    const refreshes = await clients(database, rate);
    const forAWhile = async () => {
      const end = performance.now() + seconds * 1000;
      return refreshes(() => performance.now() >= end);
    };
    await forAWhile();
    const before = await forAWhile();

    const expired = createExpiredRows(database);
    const seals = { expire: async () => 0 };
    const parts = { rows: expired, seals, auditRetention: 0, metrics: countNothing, clock: systemClock };
    const job = createCleanUp(parts);
    let removed = 0;
    let done = false;
    const begun = performance.now();
    const cleaning = (async () => {
      while (removed < rows) {
        removed += (await job.run()).revocations;
        say(`${count(removed)} removed`);
      }
    })().finally(() => {
      done = true;
    });
    const during = await refreshes(() => done);
    await cleaning;
    const took = (performance.now() - begun) / 1000;
    const after = await forAWhile();

    const line = (latencies: number[]) =>
      `${count(latencies.length)} refreshes, p50 ${ms(quantile(latencies, 0.5))}, p99 ${ms(quantile(latencies, 0.99))}, longest ${ms(latencies.at(-1) ?? 0)}`;
    return {
      'expired rows': count(rows),
      'removed in': `${count(took)} s, ${count(rows / took)} rows a second`,
      [`refreshes before, ${rate} a second`]: line(before),
      'refreshes while it goes on': line(during),
      'refreshes after': line(after),
      'p50 while it goes on, against before and after': (
        (2 * quantile(during, 0.5)) /
        (quantile(before, 0.5) + quantile(after, 0.5))
      ).toFixed(2),
      'p99 while it goes on, against before and after': (
        (2 * quantile(during, 0.99)) /
        (quantile(before, 0.99) + quantile(after, 0.99))
      ).toFixed(2),
    };
  },
};
