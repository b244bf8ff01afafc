/** What the stores need of a Postgres, be it a server or the embedded one. */
import pg from 'pg';
import { availability } from './availability.js';
import type { PrismaClient } from './generated/client.js';
import { modelsWhenUsed } from './models.js';

export interface Statement {
  /** Prepared once a connection under this name. */
  name: string;
  text: string;
}

export interface Sql {
  query<Row>(statement: Statement, values: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Sql {
  /** Prisma's models; loaded with the first call, so not for what every service does. */
  orm<T>(work: (prisma: PrismaClient) => Promise<T>): Promise<T>;
  /** Rolled back when `work` rejects. Nothing slow belongs in here. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /**
   * Runs `work` on a connection of its own, without time limits: for migrations. `script` takes several statements at
   * once, without parameters.
   */
  session<T>(work: (sql: Sql & { script(text: string): Promise<void> }) => Promise<T>): Promise<T>;
  /** Where there are connections: how many, how many of them are idle, and how many callers wait for one. */
  pool?(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
}

export interface PoolSettings {
  url: string;
  /** Connections. */
  max: number;
  /** Something went wrong on an idle connection; the pool replaces it by itself. */
  onIdleError: (error: Error) => void;
}

// Milliseconds. Everything that waits for the server gives up, so that no request hangs with it.
const CONNECT_TIMEOUT_MS = 3_000;
/** A new connection has no statement prepared and nothing in its caches: whoever comes after a lull is not to wait for that. */
const IDLE_TIMEOUT_MS = 600_000;
const STATEMENT_TIMEOUT_MS = 5_000;
/** Longer than the server's own limit, for a server that has stopped answering. */
const ANSWER_TIMEOUT_MS = 7_000;

export function connectPostgres({ url, max, onIdleError }: PoolSettings): Database {
  const connection = {
    connectionString: url,
    application_name: 'keyturn',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // Prisma's adapter reads instants as if they were in UTC, whatever the server's zone. A statement that waited for a row
    // has to see it as it is then: under another level it fails, and with it all refreshes that share it.
    options: '-c timezone=UTC -c default_transaction_isolation=read\\ committed',
  };
  const pool = new pg.Pool({
    ...connection,
    max,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
  });
  pool.on('error', onIdleError);
  const models = modelsWhenUsed(async () => {
    const { PrismaPg } = await import('@prisma/adapter-pg');
    return new PrismaPg(pool, { statementNameGenerator: nameOfStatement, onPoolError: () => {} });
  });

  const sqlOf = (client: pg.Pool | pg.ClientBase): Sql => ({
    query: async <Row>({ name, text }: Statement, values: readonly unknown[]) =>
      (await client.query({ name, text, values: [...values] })).rows as Row[],
  });

  async function withClient<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    let broken: Error | undefined;
    // The pool listens only while it has the client, and a lost connection that nobody hears of ends the process. The
    // statement that meets it rejects.
    const ignore = () => {};
    client.on('error', ignore);
    try {
      return await work(client);
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      // A connection whose state is not known for sure is closed instead of being lent again.
      client.release(broken);
      client.off('error', ignore);
    }
  }

  return availability({
    orm: models.orm,
    query: sqlOf(pool).query,
    transaction: (work) =>
      withClient(async (client) => {
        await client.query('BEGIN');
        const result = await work(sqlOf(client));
        await client.query('COMMIT');
        return result;
      }),
    async session(work) {
      const client = new pg.Client({ ...connection, keepAlive: true });
      client.on('error', onIdleError);
      await client.connect();
      try {
        return await work({
          ...sqlOf(client),
          script: async (text) => {
            await client.query(text);
          },
        });
      } finally {
        await client.end();
      }
    },
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    async close() {
      await models.close();
      await pool.end();
    },
  });
}

const names = new Map<string, string>();
/** More statements than Prisma makes of the stores' calls; past it they are simply not prepared. */
const MAX_NAMES = 200;

function nameOfStatement({ sql }: { sql: string }): string {
  const known = names.get(sql);
  if (known !== undefined) return known;
  if (names.size >= MAX_NAMES) return '';
  const name = `prisma_${names.size}`;
  names.set(sql, name);
  return name;
}
