/**
 * Clients, a thief, the network between them and the service, and the clocks of its nodes: what can happen there, one
 * thing at a time. Everything that does is written down, and held against the invariants.
 */
import { auditEvent } from '../../../src/domain/audit.js';
import type { decide, RefreshSettings } from '../../../src/domain/refresh.js';
import { type Instant, later, type Session } from '../../../src/domain/types.js';
import type { Random } from '../../../src/ports/random.js';
import type { MadeSession } from '../../support/sessions.js';
import { createInvariants, type Invariants, type Sender, type Use } from './invariants.js';
import type { RefreshStore, Rows } from './memory-store.js';
import { type Client, type ClientFault, createClient, createThief, type Thief } from './parties.js';
import { type Answer, type How, type Process, type Request, startProcess } from './service.js';

export interface WorldParts {
  start: Instant;
  /** One for each client. */
  sessions: readonly MadeSession[];
  /** What the store keeps; looked at, never changed. */
  rows: Rows;
  store: RefreshStore;
  stateMachine: typeof decide;
  /** What the service is set to, where that is not what the invariants hold it to. */
  settings?: Partial<RefreshSettings>;
  clientFault?: ClientFault | null;
}

/** What has happened so far. */
export interface Events {
  /** In the words of a person. */
  lines: string[];
  /** What schedules are counted by. */
  seen: Set<string>;
}

/** A request, and who waits for its answer. */
export interface Sent extends Request {
  sender: Sender;
  from: Client | null;
  session: Session | null;
  /** Which life of the client it is from: a later one does not hear its answer. */
  life: number;
}

export interface Serving extends Process {
  name: string;
  request: Sent;
  use: Use;
}

export interface Answered {
  request: Sent;
  answer: Answer;
  at: Instant;
}

export interface World {
  clients: readonly Client[];
  thief: Thief;
  invariants: Invariants;
  /** What is between the parties at the moment: requests, processes that have not answered, answers. */
  onTheWay: Sent[];
  processes: Serving[];
  answers: Answered[];
  now(): Instant;
  setClock(by: number): void;
  demandPassword(client: Client): Promise<void>;
  restart(client: Client): void;
  ask(client: Client): Sent;
  send(sender: Sender, asked: Asked): Sent;
  arrive(request: Sent, node: number): Promise<Serving>;
  work(process: Serving, how?: How): Promise<void>;
  deliver(answered: Answered): Promise<void>;
  /** A request and its answer, with nothing in between. */
  exchange(request: Sent): Promise<Answer | null>;
}

type Asked = Pick<Sent, 'token' | 'key' | 'password'> & Partial<Pick<Sent, 'from' | 'session'>>;

const REUSE_LEEWAY_S = 10;
/** Seconds by which the clocks of the nodes are ahead of the first one's. */
const NODES = [0, 2, -3, 0];
/** The third has never heard of Idempotency-Keys. */
const USES_KEYS = [true, true, false];

const caller = { ip: null, place: null, userAgent: null, requestId: null };

/** Every call gives other bytes, and every run of a schedule the same ones. */
function countingRandom(): Random {
  let calls = 0;
  return {
    bytes(length) {
      const bytes = new Uint8Array(length);
      new DataView(bytes.buffer).setUint32(0, ++calls);
      return bytes;
    },
  };
}

export function createWorld(replayWindow: number, parts: WorldParts, { lines, seen }: Events): World {
  const { sessions, store, stateMachine, clientFault: fault = null } = parts;
  const settings = { replayWindow: replayWindow, reuseLeeway: REUSE_LEEWAY_S };
  const invariants = createInvariants(sessions, parts.rows, settings);
  const service = { store, random: countingRandom(), stateMachine, settings: { ...settings, ...parts.settings } };
  const clients = sessions.map((session, n) => createClient(n + 1, session, { usesKeys: USES_KEYS[n] ?? true, fault }));
  const lives = new Map<Client | null, number>();
  const thief = createThief();

  let now = parts.start;
  let requests = 0;
  let arrivals = 0;
  const onTheWay: Sent[] = [];
  const processes: Serving[] = [];
  const answers: Answered[] = [];

  const say = (line: string) => lines.push(line);
  const nameOf = (answer: Answer): string =>
    answer.token === null ? answer.code : `${invariants.nameOf(answer.token)} (${answer.outcome})`;

  function send(sender: Sender, { token, key, password, from = null, session = null }: Asked): Sent {
    const number = ++requests;
    const withKey = `${key === null ? '' : ` and ${key}`}${password ? ' and the password' : ''}`;
    say(`${from?.name ?? `the ${sender}`} sends request ${number} with ${invariants.nameOf(token)}${withKey}`);
    return { number, token, key, password, sender, from, session, life: lives.get(from) ?? 0 };
  }

  async function arrive(request: Sent, node: number): Promise<Serving> {
    const ahead = NODES[node % NODES.length] ?? 0;
    const name = `process ${++arrivals}`;
    say(`request ${request.number} arrives: ${name}${ahead === 0 ? '' : `, on a clock that is ${ahead} s ahead`}`);
    const use = invariants.arrived(request, request.sender);
    const process = await startProcess(
      service,
      request,
      { now: () => later(now, ahead), monotonic: () => now, pause: async () => {} },
      use,
    );
    const serving = { ...process, name, request, use };
    if (processes.some((other) => other.request.token === request.token && other.next() === 'rotate'))
      seen.add('two processes race with one token');
    if (process.next() === null) finished(serving);
    else processes.push(serving);
    return serving;
  }

  async function work(process: Serving, how: How = 'works'): Promise<void> {
    say(`${process.name}: ${process.next()}${how === 'works' ? '' : `; the connection ${how} it is committed`}`);
    await process.step(how);
    if (process.next() !== null) return;
    processes.splice(processes.indexOf(process), 1);
    finished(process);
  }

  function finished({ name, request, use, answer, at }: Serving): void {
    const given = answer();
    if (given === null) throw new Error('a process is done without an answer');
    use.answered(given);
    say(`${name} answers request ${request.number}: ${nameOf(given)}`);
    seen.add(given.token === null ? given.code : given.outcome);
    answers.push({ request, answer: given, at: at() });
  }

  async function deliver({ request, answer, at }: Answered): Promise<void> {
    const { from, session, sender } = request;
    if (session === null) return;
    if (from === null) return thief.take(session, answer);
    if (request.life !== (lives.get(from) ?? 0)) return;
    const reaction = from.take(request, answer);
    say(`${from.name} gets the answer to request ${request.number} and ${reaction}`);
    if (reaction === 'does not need it') return;
    if (sender === 'owner') invariants.told(session, answer, at);
    if (reaction === 'logs out') await logOut(session);
    seen.add(reaction);
  }

  /** As `/v1/logout` does for an old token. */
  async function logOut(session: Session): Promise<void> {
    const { id, userId } = session;
    await store.end(id, userId, 'logout', auditEvent('session.ended', 'success', now, caller, { actor: 'anonymous' }));
    invariants.loggedOut(session);
  }

  async function exchange(request: Sent): Promise<Answer | null> {
    const process = await arrive(request, 0);
    while (process.next() !== null) await work(process);
    const answered = answers.pop();
    if (answered !== undefined) await deliver(answered);
    return process.answer();
  }

  return {
    clients,
    thief,
    invariants,
    onTheWay,
    processes,
    answers,
    now: () => now,
    setClock(by) {
      say(`the clock goes ${by < 0 ? 'back' : 'on'} by ${Math.abs(by)} s`);
      now = later(now, by);
    },
    async demandPassword({ name, session }) {
      say(`the session of ${name} goes on with the password alone`);
      await store.demandPassword(session.id, now);
      invariants.demanded(session);
    },
    restart(client) {
      say(`${client.name} dies and starts again`);
      lives.set(client, (lives.get(client) ?? 0) + 1);
    },
    ask: (client) => send('owner', { ...client.ask(), from: client, session: client.session }),
    send,
    arrive,
    work,
    deliver,
    exchange,
  };
}
