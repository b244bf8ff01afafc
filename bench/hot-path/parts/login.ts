/** A login against its one cost that cannot be avoided: the hash of a password. */
import { type Bench, inTurns, type Part, program, servedBy } from '../bench.js';
import { postJson, repeated } from '../chain.js';
import { EMAIL, PASSWORD, queryOnce, startGround } from '../ground.js';
import type { Row } from '../rounds.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { install } from '../workloads.js';

const STORED = 8_000;
const QUICK_STORED = 800;
const OURS = 'login, Keyturn as shipped';
const BARE = 'argon2 alone, of the same cost';

export const login: Part = {
  about: 'logins, against argon2 alone',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url);
    const { connections, quick } = bench.settings;
    const { logins } = await install(url, port, quick ? QUICK_STORED : STORED, quick, bench.say);
    const [user] = await queryOnce(url, 'SELECT password_hash FROM users WHERE email_key = $1', [EMAIL]);
    const env = { WORK: 'hash', PASSWORD_HASH: String(user?.password_hash) };
    const bare = await ground.startProgram(program('bare-server'), env);
    const rows: Row[] = [
      {
        name: BARE,
        connections,
        serving: servedBy(ground, [bare.pid], false),
        workload: repeated(bare.port, [postJson('/', { password: PASSWORD })]),
      },
      { name: OURS, connections, serving: servedBy(ground, [pid]), workload: repeated(port, logins, true) },
    ];
    const results = await inTurns(rows, ground, bench);
    const rate = ratio(find(results, OURS)?.rate, find(results, BARE)?.rate);
    return {
      tables: [tableOf(results, 'login'), ratios([['throughput, of argon2 alone', rate, 'at least 0.92']])],
      charts: {},
      data: results,
    };
  },
};
