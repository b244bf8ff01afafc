/**
 * Prisma's models, loaded when they are first used: 40 MB and a fifth of a second, which a service does without until
 * somebody looks at its lists. What could not be made is tried again, but for modules: Node never loads one that it could
 * not read, as when no more files can be opened.
 */
import { madeWhenUsed } from '../../domain/made-when-used.js';
import type { PrismaClient } from './generated/client.js';

type Adapter = NonNullable<ConstructorParameters<typeof PrismaClient>[0]['adapter']>;

export interface Models {
  orm<T>(work: (prisma: PrismaClient) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function modelsWhenUsed(makeAdapter: () => Promise<Adapter>): Models {
  const opened = madeWhenUsed(async () => {
    const [{ PrismaClient }, adapter] = await Promise.all([import('./generated/client.js'), makeAdapter()]);
    return new PrismaClient({ adapter, errorFormat: 'minimal' });
  });
  return {
    orm: async (work) => work(await opened.get()),
    async close() {
      await (await opened.ifMade())?.$disconnect();
    },
  };
}
