/** The rows that refreshes are compared with: what they cannot do without, and what people use instead. */
import { type Bench, program, servedBy } from './bench.js';
import { postJson, type RefreshProtocol, refreshes, repeated } from './chain.js';
import type { Ground } from './ground.js';
import type { Row } from './rounds.js';
import { keyturn, spread, store } from './stored.js';

export interface Contender {
  row: Row;
  protocol: RefreshProtocol;
  /** Sessions that nothing else uses, for what may end them. */
  fresh(n: number): Promise<string[]>;
}

export const OURS = 'Keyturn, as shipped';

/** The service with its sessions. */
export async function startKeyturn(ground: Ground, { settings, say }: Bench): Promise<Contender> {
  const stored = settings.quick ? 1_000 : 10_000;
  const url = await ground.createDatabase('keyturn');
  const { pid, port } = await ground.startService(url);
  await store(url, 2 * stored, say);
  const all = spread(2 * stored, 2 * stored);
  let taken = stored;
  return {
    protocol: keyturn(port),
    row: {
      name: OURS,
      connections: settings.connections,
      serving: servedBy(ground, [pid]),
      workload: refreshes(keyturn(port), { ...all, count: stored }),
    },
    async fresh(n) {
      if (taken + n > 2 * stored) throw new Error('no fresh sessions left');
      return Array.from({ length: n }, () => all.first(taken++));
    },
  };
}

export async function startBareSigner(ground: Ground, { settings }: Bench): Promise<Row> {
  const { pid, port } = await ground.startProgram(program('bare-server'), { WORK: 'sign' });
  return {
    name: 'a signature alone (jose)',
    connections: settings.connections,
    serving: servedBy(ground, [pid], false),
    workload: repeated(port, [postJson('/', {})]),
  };
}

export const ROTATE = 'a signature and one UPDATE';

/** What the service does, too: those that come at the same time share an UPDATE. */
export const ROTATE_TOGETHER = 'a signature and a shared UPDATE';

export async function startBareRotation(ground: Ground, { settings }: Bench, name = ROTATE): Promise<Row> {
  const sessions = settings.quick ? 1_000 : 10_000;
  const work = name === ROTATE ? 'rotate' : 'rotate-together';
  const DATABASE_URL = await ground.createDatabase(`bare_${work.replace('-', '_')}`);
  const env = { WORK: work, DATABASE_URL, SESSIONS: String(sessions) };
  const { pid, port } = await ground.startProgram(program('bare-server'), env);
  const protocol = { name, port, request: (token: string) => postJson('/', { refresh_token: token }) };
  return {
    name,
    connections: settings.connections,
    serving: servedBy(ground, [pid]),
    workload: refreshes(protocol, { count: sessions, first: (n) => `${n}.first ${n}` }),
  };
}
