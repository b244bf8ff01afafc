import t from 'tap';
import { type AuditSeal, CHAIN_START, sealOf } from '../../src/domain/audit-chain.js';
import { createAuditSealing } from '../../src/domain/audit-sealing.js';
import type { AuditSeals, Sealing, SealMark } from '../../src/ports/audit-seals.js';
import { countNothing } from '../../src/ports/metrics.js';

const sealUpTo = (lastId: string): Sealing => ({
  outcome: 'sealed',
  seal: { ...(sealOf(CHAIN_START, [], new Date(0)) ?? ({} as AuditSeal)), lastId },
});

/** A store that answers so, one after the other, and what it was asked for. */
function storeOf(...answers: Sealing[]) {
  const asked: string[] = [];
  let marks = 0;
  const seals: Pick<AuditSeals, 'mark' | 'seal' | 'backlog'> = {
    async mark() {
      marks++;
      return { upTo: '9', server: `mark ${marks}`, writers: [] };
    },
    async seal({ server }: SealMark) {
      asked.push(server);
      return answers.shift() ?? { outcome: 'busy' };
    },
    backlog: async () => ({ events: 7, oldestS: 12 }),
  };
  const told: [events: number, oldestS: number][] = [];
  const metrics = { ...countNothing, auditUnsealed: (...of: [number, number]) => void told.push(of) };
  return { asked, told, run: createAuditSealing(seals as AuditSeals, metrics).run };
}

t.test('batch after batch is sealed up to the mark, and a run ends there', async (t) => {
  const { asked, run } = storeOf(sealUpTo('4'), sealUpTo('9'), sealUpTo('9'));
  t.same(
    (await run()).map(({ lastId }) => lastId),
    ['4', '9'],
  );
  t.same(asked, ['mark 1', 'mark 1']);
  await run();
  t.same(asked.at(-1), 'mark 2');
});

t.test('a mark is kept until it can be sealed, and given up where it says nothing any more', async (t) => {
  const { asked, run } = storeOf(
    { outcome: 'waiting' },
    { outcome: 'busy' },
    { outcome: 'void' },
    { outcome: 'nothing' },
  );
  for (let n = 0; n < 5; n++) t.same(await run(), []);
  t.same(asked, ['mark 1', 'mark 1', 'mark 1', 'mark 2', 'mark 3']);
});

t.test('what is left is told after each run, also one that fails', async (t) => {
  const { told, run } = storeOf({ outcome: 'busy' });
  await run();
  t.same(told, [[7, 12]]);
  const failing = { mark: () => Promise.reject(new Error('away')), backlog: async () => ({ events: 8, oldestS: 13 }) };
  const metrics = { ...countNothing, auditUnsealed: (...of: [number, number]) => void told.push(of) };
  await t.rejects(createAuditSealing(failing as unknown as AuditSeals, metrics).run(), /away/);
  t.same(told.at(-1), [8, 13]);
});
