/**
 * Applies prisma/migrations at start, and records them as `prisma migrate deploy` would, so that either can be used on
 * one database. Needs no engine binary. One node at a time, by advisory lock; each migration in a transaction of its own.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Database, Sql, Statement } from './database.js';

/** The lock that Prisma's own migrate takes. */
const PRISMA_MIGRATE_LOCK = 72707369;
const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../../prisma/migrations');

interface Migration {
  name: string;
  checksum: string;
  script: string;
}

interface Applied {
  migration_name: string;
  checksum: string;
  finished_at: Date | null;
}

const createTable = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id                  varchar(36) PRIMARY KEY,
  checksum            varchar(64) NOT NULL,
  finished_at         timestamptz,
  migration_name      varchar(255) NOT NULL,
  logs                text,
  rolled_back_at      timestamptz,
  started_at          timestamptz NOT NULL DEFAULT now(),
  applied_steps_count integer NOT NULL DEFAULT 0
)`;

const lock: Statement = { name: 'migrate_lock', text: 'SELECT pg_try_advisory_lock($1) AS held' };
const unlock: Statement = { name: 'migrate_unlock', text: 'SELECT pg_advisory_unlock($1)' };
// What `prisma migrate resolve` marked as rolled back is to be applied anew, and its row stays.
const applied: Statement = {
  name: 'migrate_applied',
  text: 'SELECT migration_name, checksum, finished_at FROM _prisma_migrations WHERE rolled_back_at IS NULL',
};
const find: Statement = { name: 'migrate_find', text: `SELECT to_regclass('_prisma_migrations')::text AS name` };
const record: Statement = {
  name: 'migrate_record',
  text: `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
    VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
};

async function readMigrations(): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const bytes = await readFile(join(folder, name, 'migration.sql'));
      const checksum = createHash('sha256').update(bytes).digest('hex');
      return { name, checksum, script: bytes.toString('utf8') };
    }),
  );
}

/** How long a node waits for another one that is migrating, and how often it looks. Milliseconds. */
const LOCK_WAIT_MS = 60_000;
const LOCK_POLL_MS = 200;

async function takeLock(sql: Sql, sleep: (ms: number) => Promise<void>): Promise<void> {
  for (let waited = 0; waited < LOCK_WAIT_MS; waited += LOCK_POLL_MS) {
    const [row] = await sql.query<{ held: boolean }>(lock, [PRISMA_MIGRATE_LOCK]);
    if (row?.held) return;
    await sleep(LOCK_POLL_MS);
  }
  throw new Error('another process has been migrating the database for a minute; see pg_locks for who holds the lock');
}

/** Looks, and changes nothing. */
export async function pendingMigrations(database: Database): Promise<{ applied: string[]; pending: string[] }> {
  const names = (await readMigrations()).map(({ name }) => name);
  const [table] = await database.query<{ name: string | null }>(find, []);
  const rows = table?.name ? await database.query<Applied>(applied, []) : [];
  const done = new Set(rows.filter((row) => row.finished_at !== null).map((row) => row.migration_name));
  return { applied: names.filter((name) => done.has(name)), pending: names.filter((name) => !done.has(name)) };
}

/** Resolves to the names of what was applied now. Throws, having changed nothing more, at the first thing amiss. */
export async function migrate(database: Database, sleep: (ms: number) => Promise<void>): Promise<string[]> {
  const migrations = await readMigrations();
  return database.session(async (sql) => {
    await takeLock(sql, sleep);
    try {
      // Not IF NOT EXISTS alone: that asks for the right to create, which a service of less rights does not have.
      const [table] = await sql.query<{ name: string | null }>(find, []);
      if (!table?.name) await sql.script(createTable);
      const known = new Map((await sql.query<Applied>(applied, [])).map((row) => [row.migration_name, row]));
      const done: string[] = [];
      for (const migration of migrations) {
        const row = known.get(migration.name);
        if (row !== undefined) {
          refuseOddities(migration, row);
          continue;
        }
        await sql.script('BEGIN');
        try {
          await sql.script(migration.script);
          await sql.query(record, [randomUUID(), migration.checksum, migration.name]);
          await sql.script('COMMIT');
        } catch (error) {
          await sql.script('ROLLBACK').catch(() => {});
          throw new Error(`migration ${migration.name} failed: ${error instanceof Error ? error.message : error}`);
        }
        done.push(migration.name);
      }
      return done;
    } finally {
      await sql.query(unlock, [PRISMA_MIGRATE_LOCK]).catch(() => {});
    }
  });
}

function refuseOddities(migration: Migration, row: Applied): void {
  if (row.finished_at === null) {
    throw new Error(`migration ${migration.name} was begun and not finished; see "prisma migrate resolve"`);
  }
  if (row.checksum !== migration.checksum) {
    throw new Error(`migration ${migration.name} was changed after it was applied to this database`);
  }
}
