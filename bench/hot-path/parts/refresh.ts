/** A refresh against what it cannot do without, and against what people use instead. */
import { type Bench, inTurns, type Part } from '../bench.js';
import { bars } from '../chart.js';
import { ROTATE, ROTATE_TOGETHER, startBareRotation, startBareSigner, startKeyturn } from '../contenders.js';
import { startGround } from '../ground.js';
import { peers as known, startPeers } from '../peers.js';
import { preparePgbench } from '../pgbench.js';
import type { Sample } from '../rounds.js';
import { find, ratio, ratios, tableOf } from '../tables.js';

/** The whole as in the table; service and database have their shares of it. */
function inSignatures({ service, database, signatures }: Sample): number[] {
  const each = signatures / (service + database);
  return [service * each, database * each];
}

export const refresh: Part = {
  about: 'refreshes, against a signature and one UPDATE, pgbench, oidc-provider and better-auth',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const own = await startKeyturn(ground, bench);
    const peers = await startPeers(ground, bench);
    const rows = [
      await startBareSigner(ground, bench),
      await startBareRotation(ground, bench),
      await startBareRotation(ground, bench, ROTATE_TOGETHER),
      own.row,
      await preparePgbench(ground, bench),
      ...peers.map(({ row }) => row),
    ];
    const results = await inTurns(rows, ground, bench);
    const [ours, bare] = [find(results, own.row.name), find(results, ROTATE)];
    const together = find(results, ROTATE_TOGETHER);
    const against = (name: string) => ratio(ours?.rate, find(results, name)?.rate);
    const targets = ratios([
      ['throughput, of a signature and one UPDATE', ratio(ours?.rate, bare?.rate), 'at least 0.85'],
      ['CPU of service and database, of the same', ratio(ours?.signatures, bare?.signatures), 'at most 1.2'],
      ['p99, of the same', ratio(ours?.p99, bare?.p99), 'at most 1.5'],
      [`throughput, of ${ROTATE_TOGETHER}`, against(ROTATE_TOGETHER), ''],
      ['CPU of service and database, of the same', ratio(ours?.signatures, together?.signatures), ''],
      ...peers.map(({ row, target }) => [`throughput, of ${row.name}`, against(row.name), target] as const),
      ['tokens that were there before, or refused', String(ours?.errors ?? '–'), '0'],
      ['memory under load, MB', ours?.residentMb.toFixed(0) ?? '–', 'at most 120'],
    ]);
    const parts = results.flatMap((result) =>
      'failed' in result
        ? []
        : [
            {
              name: result.name,
              values: inSignatures(result.median),
            },
          ],
    );
    return {
      tables: [
        tableOf(results, 'refresh'),
        targets,
        {
          columns: ['compared with', 'what it does, and does not'],
          rows: known.map(({ name, about }) => [name, about]),
        },
      ],
      charts: {
        'refresh.svg': bars('CPU of one refresh, in RSA-2048 signatures', ['service', 'database'], parts),
      },
      data: results,
    };
  },
};
