/** The statement of a rotation, sent by PostgreSQL's own pgbench: what the database does in a refresh, and nothing else. */
import { execFile } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { rotate } from '../../src/adapters/postgres/rotation.js';
import { sha256 } from '../../src/domain/refresh-token.js';
import { temporaryFolder } from '../../test/support/process.js';
import { findBinary } from '../../test/support/servers.js';
import type { Bench } from './bench.js';
import { failedRow, servedBy } from './bench.js';
import type { Loaded } from './chain.js';
import { type Ground, queryOnce } from './ground.js';
import type { Row } from './rounds.js';
import { store } from './stored.js';

/** The same work where nobody follows the sessions: each keeps its secret, all have the same, and any generation will do. */
const replaced: Record<string, string> = {
  's.generation = $2::integer': 's.generation >= 0',
  's.id = $1::uuid': "s.id = ('01900000-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid",
  '$8::text': "('a key of as many characters as a hash has ' || :key)",
  '$13::text': 'NULL',
  '$14::text': 'NULL',
  '$15::timestamptz': 'NULL',
};

/** More than it takes to connect and to tell. */
const LATE_S = 30;

function scriptFor(sessions: number): string {
  const own = Object.entries(replaced).reduce((text, [from, to]) => text.replaceAll(from, to), rotate.text);
  const statement = own.replace(/\$(\d+)/g, ':v$1').replace(/\s+/g, ' ');
  return `\\set n random(0, ${sessions - 1})\n\\set key random(100000000, 999999999)\n${statement};\n`;
}

function valuesOf(secret: string, familyKey: Uint8Array): Record<string, string> {
  const hex = (bytes: Uint8Array) => `\\x${Buffer.from(bytes).toString('hex')}`;
  const signed = Buffer.alloc(52, 's');
  const tag = createHmac('sha256', familyKey).update(signed).digest().subarray(0, 16);
  const now = new Date();
  const hash = hex(sha256(secret));
  return {
    ...{ v3: hash, v4: hex(signed), v5: hex(sha256(tag)), v6: hash, v7: hex(sha256('salt')) },
    ...{ v9: String(now.getTime()), v10: now.toISOString(), v11: '127.0.0.1', v12: 'pgbench' },
  };
}

export async function preparePgbench(ground: Ground, { scope, settings, say }: Bench): Promise<Row> {
  const name = 'pgbench, the statement of a rotation alone';
  const binary = findBinary('pgbench');
  if (binary === null) return failedRow(name, settings.connections, new Error('there is no pgbench'));
  const sessions = settings.quick ? 1_000 : 10_000;
  const url = await ground.createDatabase('pgbench');
  const { stop } = await ground.startService(url);
  await stop();
  await store(url, sessions, say);
  const familyKey = sha256('the same for all');
  const all = [Buffer.from(familyKey), Buffer.from(sha256('secret'))];
  await queryOnce(url, 'UPDATE sessions SET family_key = $1, current_hash = $2', all);
  await queryOnce(url, 'VACUUM FULL ANALYZE sessions');

  const folder = temporaryFolder(scope);
  const script = join(folder, 'rotation.sql');
  writeFileSync(script, scriptFor(sessions));
  const variables = Object.entries(valuesOf('secret', familyKey)).flatMap(([name, value]) => [
    '-D',
    `${name}=${value}`,
  ]);
  return {
    name,
    connections: settings.connections,
    serving: servedBy(ground, []),
    async loadedBy(seconds) {
      const prefix = `log-${randomUUID()}`;
      const pace = ['-c', String(settings.connections), '-j', '1', '-T', String(seconds)];
      const args = ['-n', '-M', 'prepared', ...pace, '-l', '--log-prefix', prefix, ...variables, '-f', script, url];
      const before = await rotationsOf(url);
      const { stdout } = await promisify(execFile)(binary, args, { cwd: folder, timeout: (seconds + LATE_S) * 1000 });
      return resultOf(stdout, folder, prefix, (await rotationsOf(url)) - before);
    },
  };
}

/** What pgbench cannot tell: whether a statement found its row. */
const rotationsOf = async (url: string): Promise<number> =>
  Number((await queryOnce(url, 'SELECT sum(generation) AS rotations FROM sessions'))[0]?.rotations);

/** Of each transaction a line: client, number, microseconds, and more. */
function resultOf(stdout: string, folder: string, prefix: string, rotations: number): Loaded {
  const logs = readdirSync(folder).filter((name) => name.startsWith(prefix));
  const lines = logs.flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'));
  const latencies = lines.map((line) => Number(line.split(' ')[2]) / 1000).sort((a, b) => a - b);
  const rate = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1]);
  return { rate, latencies, sentAway: 0, errors: Math.abs(latencies.length - rotations) };
}
