import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite, type Transaction } from '@electric-sql/pglite';
import { availability } from '../postgres/availability.js';
import type { Database, Sql } from '../postgres/database.js';
import { modelsWhenUsed } from '../postgres/models.js';
import { type FolderLock, lockFolder } from './folder-lock.js';

/** Opens the database in `folder`, or one in memory when it is null. Throws FolderInUse. */
export async function openEmbedded(folder: string | null): Promise<Database> {
  const lock: FolderLock | null = folder === null ? null : lockFolder(folder);
  try {
    const pglite = await (folder === null ? PGlite.create('memory://') : openCluster(folder));
    // The adapter of Prisma reads instants as if they were in UTC.
    await pglite.exec(`SET TIME ZONE 'UTC'`);
    return wrap(pglite, () => lock?.release());
  } catch (error) {
    lock?.release();
    throw error;
  }
}

const placeIn = (folder: string) => join(folder, 'pglite');

export const hasCluster = (folder: string): boolean =>
  existsSync(placeIn(folder)) && readdirSync(placeIn(folder)).length > 0;

/** A process that is killed while it makes a cluster leaves one that never opens: so it is made aside and moved when whole. */
async function openCluster(folder: string): Promise<PGlite> {
  const place = placeIn(folder);
  if (!hasCluster(folder)) {
    const aside = join(folder, 'pglite.new');
    rmSync(aside, { recursive: true, force: true });
    await (await PGlite.create(aside)).close();
    rmSync(place, { recursive: true, force: true });
    renameSync(aside, place);
  }
  try {
    return await PGlite.create(place);
  } catch (error) {
    // What PGlite throws is not always an Error, and says nothing of the place.
    throw new Error(`the embedded database in ${place} cannot be opened; move it away, or put a backup in its place`, {
      cause: error,
    });
  }
}

function wrap(pglite: PGlite, onClosed: () => void): Database {
  const models = modelsWhenUsed(async () => {
    const { PrismaPGlite } = await import('pglite-prisma-adapter');
    return new PrismaPGlite(pglite);
  });
  const sqlOf = (connection: PGlite | Transaction): Sql => ({
    query: async <Row>({ text }: { text: string }, values: readonly unknown[]) =>
      (await connection.query<Row>(text, [...values])).rows,
  });
  return availability({
    orm: models.orm,
    query: sqlOf(pglite).query,
    transaction: (work) => pglite.transaction((tx) => work(sqlOf(tx))),
    // There is only the one connection.
    session: (work) =>
      work({
        ...sqlOf(pglite),
        script: async (text) => {
          await pglite.exec(text);
        },
      }),
    async close() {
      await models.close();
      if (!pglite.closed) await pglite.close();
      onClosed();
    },
  });
}
