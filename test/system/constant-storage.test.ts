/** However often a session is refreshed, it takes the same room, and nothing else takes more. */
import t from 'tap';
import { postgresDatabase, withoutPostgres } from '../support/databases.js';
import { startService } from '../support/service.js';

const ROTATIONS = 1000;
/** By then the row remembers as many rotations as it ever will. */
const FULL = 5;

t.test(
  `after ${ROTATIONS} refreshes the database is no larger than after ${FULL}`,
  { skip: withoutPostgres },
  async (t) => {
    const database = await postgresDatabase(t, 1);
    // A signature is all that a refresh costs here, and this one is cheap.
    const { services, clock, login, register } = await startService(t, { database, env: { SIGNING_ALG: 'ES256' } });
    await register();
    const { session_id: id, refresh_token } = await login();
    const caller = { ip: '192.0.2.1', place: null, userAgent: 'test', requestId: 'r' };
    let refreshToken = refresh_token;

    async function refreshUntil(generation: number, from: number): Promise<void> {
      for (let n = from; n < generation; n++) {
        clock.advance(60);
        await services.keys.load();
        const request = { refreshToken, idempotencyKey: `the-key-${n}`, clientId: null, password: null, caller };
        refreshToken = (await services.refresh(request)).response.refresh_token;
      }
    }
    const ask = <Row>(text: string, values: unknown[] = []) => database.query<Row>({ name: '', text }, values);
    const rowSize = async () =>
      (await ask<{ size: number }>('SELECT pg_column_size(s) AS size FROM sessions s WHERE id = $1', [id]))[0]?.size ??
      0;
    async function sizes() {
      const tables = await ask<{ name: string }>(`SELECT relname AS name FROM pg_stat_user_tables ORDER BY 1`);
      const counted = tables.map(async ({ name }) => [
        name,
        (await ask<{ rows: number }>(`SELECT count(*)::int AS rows FROM "${name}"`))[0]?.rows,
      ]);
      return { row: await rowSize(), rows: Object.fromEntries(await Promise.all(counted)) };
    }

    await refreshUntil(FULL, 0);
    const before = await sizes();
    t.hasProps(before.rows, ['audit_events', 'clients', 'sessions', 'signing_keys', 'users'], 'all tables are counted');
    await refreshUntil(ROTATIONS, FULL);
    const after = await sizes();
    const [{ generation } = { generation: 0 }] = await ask<{ generation: number }>(
      'SELECT generation FROM sessions WHERE id = $1',
      [id],
    );
    t.equal(generation, ROTATIONS);
    t.ok(after.row <= before.row && before.row > 0, `${after.row} bytes after ${before.row}`);
    t.same(after.rows, before.rows);
  },
);
