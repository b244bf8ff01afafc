/** What it costs that refreshes are looked at for anomalies: nothing waits for that, but somebody has to do it. */
import { parseRefreshToken } from '../../../src/domain/refresh-token.js';
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { postJson, type RefreshProtocol, refreshes } from '../chain.js';
import { startGround } from '../ground.js';
import { spread, store } from '../stored.js';
import { find, ratio, ratios, tableOf } from '../tables.js';

/** More than a process remembers the latest use of (20,000): each refresh is the first of its session that it has heard of. */
const STORED = 60_000;
const QUICK_STORED = 30_000;
/** Few enough to be soon heard of again. */
const FEW = 1_000;

/** Each session has a public address of its own, in a country. */
function addressOf(token: string): string {
  const id = parseRefreshToken(token)?.sessionId ?? '';
  const n = Number.parseInt(id.slice(-6), 16);
  return `84.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

const behindProxy = (port: number, from: (token: string) => string): RefreshProtocol => ({
  name: 'Keyturn',
  port,
  request: (token, key) =>
    postJson(
      '/v1/refresh',
      { refresh_token: token },
      { 'x-forwarded-for': from(token), ...(key === null ? {} : { 'idempotency-key': key }) },
    ),
});

const NONE = 'from a private address';
const AGAIN = 'from a public one, again';
const FIRST = 'from a public one, the first in an hour';

export const detection: Part = {
  about: 'refreshes that are looked at for anomalies, and such that are not',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url, { env: { TRUST_PROXY: '127.0.0.1' } });
    const stored = bench.settings.quick ? QUICK_STORED : STORED;
    await store(url, 2 * FEW + stored, bench.say);
    const { connections } = bench.settings;
    const row = { connections, serving: servedBy(ground, [pid]) };
    const rows = [
      {
        ...row,
        name: NONE,
        workload: refreshes(
          behindProxy(port, () => '10.0.0.1'),
          spread(FEW, FEW),
        ),
      },
      { ...row, name: AGAIN, workload: refreshes(behindProxy(port, addressOf), spread(FEW, FEW, FEW)) },
      { ...row, name: FIRST, workload: refreshes(behindProxy(port, addressOf), spread(stored, stored, 2 * FEW)) },
    ];
    const results = await inTurns(rows, ground, bench);
    const [none, again, first] = [NONE, AGAIN, FIRST].map((name) => find(results, name));
    return {
      tables: [
        tableOf(results, 'refresh'),
        ratios([
          ['CPU, from a public address, again', ratio(again?.signatures, none?.signatures), ''],
          ['CPU, the first in an hour', ratio(first?.signatures, none?.signatures), ''],
        ]),
      ],
      charts: {},
      data: results,
    };
  },
};
