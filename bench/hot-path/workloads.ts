/** All that clients and services ask of Keyturn, as rows for any number of connections: of one process, or of several. */
import { askOnce } from '../http-load.js';
import { get, refreshes, repeated, type Sessions, tokensOf, type Workload } from './chain.js';
import { register } from './ground.js';
import type { Row, Serving } from './rounds.js';
import { keyturn, login, SESSIONS_A_USER, spread, store } from './stored.js';
import { inStorm } from './storm.js';

export const REFRESH = 'refresh';
export const TWICE = 'refresh, each sent twice at once';
const MIXED = 'refresh, while as many log in';

/** Many enough that no session is refreshed twice at once; and a divisor of all that are stored. */
const QUICK_IN_USE = 200;
const IN_USE = 2_000;
const USERS = 200;
const TOKENS = 10;
const ASKED_AT_ONCE = 32;

export interface Installation {
  /** Of sessions that nothing else uses. */
  parcel(): Sessions;
  /** Of users who are evenly spread over all. */
  logins: string[];
  tokens: string[];
}

/** The access tokens of so many sessions. */
export async function accessTokens(port: number, sessions: Sessions, count: number): Promise<string[]> {
  const protocol = keyturn(port);
  const tokens: string[] = [];
  let turn = 0;
  const worker = async () => {
    while (turn < count) {
      const { head, body } = await askOnce(port, protocol.request(sessions.first(turn++), null));
      const brought = tokensOf(head, body);
      if (brought === null) throw new Error(`a refresh was refused: ${body}`);
      tokens.push(brought.access);
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker));
  return tokens;
}

/** Sessions and their users, all with one password. The process at the port has migrated the database. */
export async function install(
  url: string,
  port: number,
  stored: number,
  quick: boolean,
  say: (text: string) => void,
): Promise<Installation> {
  await register(port);
  await store(url, stored, say);
  const inUse = quick ? QUICK_IN_USE : IN_USE;
  let parcels = 0;
  const parcel = (): Sessions => {
    if ((parcels + 1) * inUse > stored) throw new Error('no sessions are left');
    return spread(stored, inUse, parcels++);
  };
  const users = Math.floor(stored / SESSIONS_A_USER);
  const each = Math.max(Math.floor(users / USERS), 1);
  return {
    parcel,
    logins: Array.from({ length: Math.min(USERS, users) }, (_, n) => login(n * each)),
    tokens: await accessTokens(port, parcel(), TOKENS),
  };
}

/** Of each a row for any number of connections, which are shared out to the processes. Each call takes sessions of its own. */
export function workloadsOf({ parcel, logins, tokens }: Installation, ports: readonly number[], serving: Serving) {
  const portOf = (connection: number) => ports[connection % ports.length] ?? 0;
  const protocol = keyturn(portOf);
  const rowOf = (name: string, workload: Workload) => (connections: number) => ({
    name,
    connections,
    serving,
    workload,
  });
  const twice = rowOf(TWICE, refreshes(protocol, parcel(), 2));
  const loggingIn = repeated(portOf, logins, true);
  const besideLogins = rowOf(REFRESH, refreshes(protocol, parcel()));
  const checks = tokens.map((token) => get('/v1/authorize?audience=api', { authorization: `Bearer ${token}` }));
  return {
    [REFRESH]: rowOf(REFRESH, refreshes(protocol, parcel())),
    [TWICE]: (connections: number) => twice(Math.max(connections, 2)),
    [MIXED]: (connections: number) => inStorm(MIXED, besideLogins(connections), loggingIn).row,
    login: rowOf('login', loggingIn),
    check: rowOf('check', repeated(portOf, checks)),
    JWKS: rowOf('JWKS', repeated(portOf, [get('/.well-known/jwks.json')])),
  } satisfies Record<string, (connections: number) => Row>;
}

/** Of lists in the same order: the first of all, then the second of all. */
export const transposed = <T>(lists: readonly (readonly T[])[]): T[][] =>
  (lists[0] ?? []).map((_, i) => lists.flatMap((list) => list[i] ?? []));
