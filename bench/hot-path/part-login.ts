/** A login against its one cost that cannot be avoided: the hash of a password. */
import { type Bench, inTurns, type Part, program, servedBy } from './bench.js';
import { postJson, repeated } from './chain.js';
import { EMAIL, PASSWORD, queryOnce, register, startGround } from './ground.js';
import type { Row } from './rounds.js';
import { login as loginOf, store } from './stored.js';
import { find, ratio, ratios, tableOf } from './tables.js';

const USERS = 200;
/** Those that are there before anybody logs in: four of each user. */
export const SESSIONS = 4 * USERS;
const OURS = 'login, Keyturn as shipped';
const BARE = 'argon2 alone, of the same cost';

/** A service with users whose password is known, and what asks it for logins. */
export async function startLogins(url: string, port: number, { say }: Bench): Promise<string[]> {
  await register(port);
  await store(url, SESSIONS, say);
  return Array.from({ length: USERS }, (_, n) => loginOf(n));
}

export const login: Part = {
  about: 'logins, against argon2 alone',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url);
    const logins = await startLogins(url, port, bench);
    const [user] = await queryOnce(url, 'SELECT password_hash FROM users WHERE email_key = $1', [EMAIL]);
    const env = { WORK: 'hash', PASSWORD_HASH: String(user?.password_hash) };
    const bare = await ground.startProgram(program('bare-server'), env);
    const { connections } = bench.settings;
    const rows: Row[] = [
      {
        name: BARE,
        connections,
        serving: servedBy(ground, [bare.pid], false),
        workload: repeated(bare.port, [postJson('/', { password: PASSWORD })]),
      },
      { name: OURS, connections, serving: servedBy(ground, [pid]), workload: repeated(port, logins) },
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
