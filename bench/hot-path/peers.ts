/** What people use instead, from npm: installed when it is needed, and apart. What each does and does not do is said here. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Bench, failedRow, servedBy } from './bench.js';
import { post, refreshes } from './chain.js';
import type { Contender } from './contenders.js';
import type { Ground } from './ground.js';

/** Beside the sources: they are no part of what is built. */
const FOLDER = fileURLToPath(new URL('../../../bench/peers/', import.meta.url));

interface Peer {
  name: string;
  file: string;
  database: string;
  path: string;
  /** What is aimed at: Keyturn's throughput against its. */
  target: string;
  about: string;
}

export const peers: readonly Peer[] = [
  {
    name: 'oidc-provider 9.13.3',
    file: 'oidc-provider.js',
    database: 'oidc_provider',
    path: '/token',
    target: 'at least 1.9',
    about:
      'OpenID Connect, with an adapter of ours for PostgreSQL: one table, a document a row, statements prepared. Access tokens are JWTs that are not stored. Tokens are stored as they are. Two reads and two writes a refresh, a new row among them; of two at once both may go on; no retry of a lost answer: a used token ends the grant. No limits, logs, metrics, list of devices. Runs on Node.js 20, though it asks for 22.',
  },
  {
    name: 'better-auth 1.7.5, OAuth provider 1.7.5',
    file: 'better-auth.js',
    database: 'better_auth',
    path: '/api/auth/oauth2/token',
    target: 'at least 7',
    about:
      'OAuth provider and JWTs, on its own adapter for PostgreSQL; signed with RS256, as in all rows (EdDSA as it comes). Tokens are hashed. Some six reads and two writes a refresh, a new row among them, none of them prepared; of two at once one is refused; a retry of a lost answer only where `refreshTokenReuseInterval` is set, which it is not as it comes: a used token ends all sessions of its user with the client. Limits in the process; no logs, metrics. The newest plugin asks for just this version of better-auth.',
  },
];

function install(say: (text: string) => void): void {
  if (existsSync(`${FOLDER}node_modules/.package-lock.json`)) return;
  say('installing what Keyturn is compared with (npm ci in bench/peers)');
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: FOLDER, stdio: 'ignore', timeout: 300_000 });
}

export type StartedPeer = Contender & { target: string };

async function start(peer: Peer, ground: Ground, { settings }: Bench): Promise<StartedPeer> {
  const sessions = settings.quick ? 400 : 4_000;
  const DATABASE_URL = await ground.createDatabase(peer.database);
  const { pid, port } = await ground.startProgram(FOLDER + peer.file, { DATABASE_URL, SESSIONS: String(sessions) });
  const seeds = (await (await fetch(`http://127.0.0.1:${port}/seeds`)).json()) as string[];
  const measured = sessions / 2;
  let taken = measured;
  const protocol = {
    name: peer.name,
    port,
    request: (token: string) =>
      post(
        peer.path,
        'application/x-www-form-urlencoded',
        `grant_type=refresh_token&client_id=app&refresh_token=${encodeURIComponent(token)}`,
        { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.1' },
      ),
  };
  return {
    target: peer.target,
    protocol,
    row: {
      name: peer.name,
      connections: settings.connections,
      serving: servedBy(ground, [pid]),
      workload: refreshes(protocol, { count: measured, first: (n) => seeds[n] ?? '' }),
    },
    async fresh(n) {
      if (taken + n > sessions) throw new Error('no fresh sessions left');
      taken += n;
      return seeds.slice(taken - n, taken);
    },
  };
}

/** One that does not start is a row that has failed. */
const failedPeer = (peer: Peer, bench: Bench, reason: Error): StartedPeer => ({
  target: peer.target,
  protocol: { name: peer.name, port: 0, request: () => '' },
  row: failedRow(peer.name, bench.settings.connections, reason),
  fresh: () => Promise.reject(reason),
});

export async function startPeers(ground: Ground, bench: Bench): Promise<StartedPeer[]> {
  const started: StartedPeer[] = [];
  for (const peer of peers) {
    bench.say(`starting ${peer.name}`);
    try {
      install(bench.say);
      started.push(await start(peer, ground, bench));
    } catch (error) {
      started.push(failedPeer(peer, bench, error as Error));
    }
  }
  return started;
}
