/** A process, or its connection, that is lost in the middle of a refresh: the retry elsewhere succeeds, nothing is doubled. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import { postgresUrl, withoutPostgres } from '../support/databases.js';
import {
  type Answer,
  eventually,
  generationOf,
  launchReady,
  runToEnd,
  type ServiceProcess,
  temporaryFolder,
} from '../support/process.js';

const outcomeOf = ({ headers }: Answer) => headers.get('keyturn-refresh-outcome');
const tokenIn = ({ body }: Answer): string => String(body.refresh_token);

async function connect(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  // The database is dropped under it at the end.
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** Processes on one database, and the test's own hand in it. */
async function startWorld(t: Test) {
  const url = await postgresUrl(t);
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  await runToEnd(t, ['keys', 'new-kek'], { KEYS_DIR });
  const env = { ISSUER: 'http://127.0.0.1:3000', DATABASE_URL: url, KEYS_DIR };
  const [victim, other] = await Promise.all([launchReady(t, env), launchReady(t, env)]);
  const eye = await connect(t, url);

  const ask = async (text: string, values: unknown[]) => (await eye.query(text, values)).rows[0] ?? {};
  const backendWaitingFor = async (lockedBy: number) =>
    (await ask('SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))', [lockedBy])).pid;
  const row = (id: string) => ask('SELECT generation, revoked_at FROM sessions WHERE id = $1', [id]);

  /** A refresh of a session of its own at this process, whose rotation waits until it is let go. */
  async function heldRefresh(service: ServiceProcess) {
    const { refresh_token: token, session_id: id } = await other.login();
    const key = randomUUID();
    const lock = await connect(t, url);
    const { pid } = (await lock.query('SELECT pg_backend_pid() AS pid')).rows[0];
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE', [id]);
    const hangUp = new AbortController();
    const answer = service.refresh(token, key, hangUp.signal).catch((error: unknown) => error as Error);
    let backend: number | undefined;
    await eventually(
      async () => {
        backend = await backendWaitingFor(pid);
        return backend !== undefined;
      },
      () => 'the rotation does not wait',
    );
    return {
      id,
      token,
      key,
      answer,
      hangUp: () => hangUp.abort(),
      /** `pg_terminate_backend`, as an administrator or a shutdown does it, or `pg_cancel_backend`, as a time limit does. */
      end: async (how: 'terminate' | 'cancel') => {
        await eye.query(`SELECT pg_${how}_backend($1)`, [backend]);
        await eventually(
          async () => (await backendWaitingFor(pid)) === undefined,
          () => 'the rotation still waits',
        );
      },
      letGo: () => lock.query('ROLLBACK'),
      whenRotated: () =>
        eventually(
          async () => (await row(id)).generation === 1,
          () => 'the rotation was not carried out',
        ),
    };
  }
  return { victim, other, row, heldRefresh };
}

type World = Awaited<ReturnType<typeof startWorld>>;
type Held = Awaited<ReturnType<World['heldRefresh']>>;

async function retrySucceeds(t: Test, { other, row }: World, { id, token, key }: Held, outcome: string): Promise<void> {
  const retry = await other.refresh(token, key);
  t.equal(retry.status, 200);
  t.equal(outcomeOf(retry), outcome);
  t.equal(generationOf(tokenIn(retry)), 1);
  t.match(await row(id), { generation: 1, revoked_at: null });
  const next = await other.refresh(tokenIn(retry), randomUUID());
  t.equal(outcomeOf(next), 'rotated', 'and the session goes on');
  t.equal(generationOf(tokenIn(next)), 2);
}

t.test('a refresh whose process or connection is lost', { skip: withoutPostgres }, async (t) => {
  const world = await startWorld(t);
  const { victim, other, row, heldRefresh } = world;
  await other.register();

  await t.test('the process dies', async (t) => {
    const [neverDone, doneUnseen, doneAfterwards] = [
      await heldRefresh(victim),
      await heldRefresh(victim),
      await heldRefresh(victim),
    ];
    // Stopped, it sees nothing of what the server does from now on.
    victim.child.kill('SIGSTOP');
    await neverDone.end('terminate');
    await doneUnseen.letGo();
    await doneUnseen.whenRotated();
    t.equal((await victim.stop('SIGKILL')).signal, 'SIGKILL');
    await doneAfterwards.letGo();
    await doneAfterwards.whenRotated();
    await neverDone.letGo();
    for (const { answer } of [neverDone, doneUnseen, doneAfterwards])
      t.type(await answer, Error, 'no client was answered');

    t.match(await row(neverDone.id), { generation: 0 });
    for (const [when, held, outcome] of [
      ['before its statement is carried out', neverDone, 'rotated'],
      ['after the commit, before it has seen it', doneUnseen, 'replayed'],
      ['and the server carries out its statement afterwards', doneAfterwards, 'replayed'],
    ] as const) {
      await t.test(when, (t) => retrySucceeds(t, world, held, outcome));
    }
  });

  for (const how of ['terminate', 'cancel'] as const) {
    await t.test(`the server ${how}s the statement`, async (t) => {
      const held = await heldRefresh(other);
      await held.end(how);
      t.match(await held.answer, { status: 503, body: { code: 'store_unavailable' } });
      await held.letGo();
      await retrySucceeds(t, world, held, 'rotated');
    });
  }

  await t.test('the client hangs up', async (t) => {
    const held = await heldRefresh(other);
    held.hangUp();
    t.match(await held.answer, { name: 'AbortError' });
    await held.letGo();
    await held.whenRotated();
    await retrySucceeds(t, world, held, 'replayed');
  });
});
