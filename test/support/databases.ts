/** Databases for tests: migrated, empty, of their own, gone afterwards. */
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Test } from 'tap';
import { openEmbedded } from '../../src/adapters/embedded/database.js';
import { connectPostgres, type Database } from '../../src/adapters/postgres/database.js';
import { migrate } from '../../src/adapters/postgres/migrate.js';

const TEMPLATE_NAME = 'keyturn_template';
/** For a test's option `skip`: the reason where there is no server, else false. */
export const withoutPostgres =
  process.env.TEST_DATABASE_URL === undefined && 'no PostgreSQL: set TEST_DATABASE_URL or install the server';
export const withoutRedis =
  process.env.TEST_REDIS_URL === undefined && 'no Redis: set TEST_REDIS_URL or install redis-server';

export const urlOf = (server: string, name: string): string => {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
};

async function onServer(server: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

/** Once a run: a migrated database that the tests' own are copies of. */
export async function prepareTemplates(server: string | undefined): Promise<{ folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-template-'));
  const embedded = await openEmbedded(folder);
  await migrate(embedded, sleep);
  await embedded.close();
  if (server !== undefined) await migratedDatabase(server, TEMPLATE_NAME);
  return { folder };
}

/** Makes the database anew on the server; its address. */
export async function migratedDatabase(server: string, name: string): Promise<string> {
  await onServer(server, `DROP DATABASE IF EXISTS ${name}`);
  await onServer(server, `CREATE DATABASE ${name}`);
  const url = urlOf(server, name);
  const database = connectPostgres({ url, max: 1, onIdleError: () => {} });
  await migrate(database, sleep);
  await database.close();
  return url;
}

/** A folder with a migrated embedded database in it, closed. */
export function embeddedFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-data-'));
  const template = process.env.KEYTURN_TEST_TEMPLATE;
  if (template !== undefined && existsSync(template)) cpSync(template, folder, { recursive: true });
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function embeddedDatabase(t: Test): Promise<Database> {
  const database = await openEmbedded(embeddedFolder(t));
  t.teardown(() => database.close());
  await migrate(database, sleep);
  return database;
}

/** The address of an empty, migrated database on the server of TEST_DATABASE_URL. */
export async function postgresUrl(t: Test): Promise<string> {
  const server = process.env.TEST_DATABASE_URL;
  if (server === undefined) throw new Error(withoutPostgres || '');
  const name = `keyturn_test_${randomBytes(6).toString('hex')}`;
  await onServer(server, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE_NAME}`);
  // Not what the template is that of: databases on one Redis have nothing to do with each other.
  await onServer(urlOf(server, name), 'UPDATE installation SET id = gen_random_uuid()');
  t.teardown(() => onServer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  return urlOf(server, name);
}

export async function postgresDatabase(t: Test, max = 20): Promise<Database> {
  const database = connectPostgres({ url: await postgresUrl(t), max, onIdleError: () => {} });
  t.teardown(() => database.close());
  return database;
}

/** For tests of thousands of statements: the server, several times as fast as the embedded database, where there is one. */
export const fastDatabase = (t: Test): Promise<Database> =>
  withoutPostgres === false ? postgresDatabase(t) : embeddedDatabase(t);

/** The environment of a service, for tests of processes that are not about where it keeps its data: the same choice. */
export const fastStorage = async (t: Test): Promise<Record<string, string>> =>
  withoutPostgres === false ? { DATABASE_URL: await postgresUrl(t) } : { DATA_DIR: embeddedFolder(t) };

/** Runs the same tests on the embedded database and on a real server. */
export async function onEachDatabase(t: Test, tests: (t: Test, database: Database) => Promise<void>): Promise<void> {
  await t.test('on the embedded database', async (t) => tests(t, await embeddedDatabase(t)));
  await t.test('on PostgreSQL', { skip: withoutPostgres }, async (t) => tests(t, await postgresDatabase(t)));
}
