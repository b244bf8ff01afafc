/** What comes of two refreshes with one token at once, and of one whose answer was lost. */
import { randomUUID } from 'node:crypto';
import { askOnce } from '../http-load.js';
import type { Bench, Part } from './bench.js';
import { type RefreshProtocol, tokensOf } from './chain.js';
import { type Contender, OURS, startKeyturn } from './contenders.js';
import { startGround } from './ground.js';
import { inTime } from './in-time.js';
import { startPeers } from './peers.js';

const PAIRS = 320;
const QUICK_PAIRS = 32;
const AT_ONCE = [1, 16];
/** For all pairs of a row. Milliseconds. */
const PATIENCE_MS = 300_000;

interface Outcome {
  requests: number;
  refused: number;
  /** How many chains of tokens go on from there: one is right. */
  chains: number;
}

/** Resolves to the refresh token, or to null when the request is refused. */
async function refresh({ port, request }: RefreshProtocol, token: string, key: string | null): Promise<string | null> {
  const to = typeof port === 'number' ? port : port(0);
  const { head, body } = await askOnce(to, request(token, key));
  return tokensOf(head, body)?.refresh ?? null;
}

/** Each goes on for two steps, in turns: what ends the others is seen. */
async function chainsFrom(protocol: RefreshProtocol, tokens: readonly (string | null)[]): Promise<number> {
  let live = [...new Set(tokens)].filter((token) => token !== null);
  for (let step = 0; step < 2; step++) {
    const next: (string | null)[] = [];
    for (const token of live) next.push(await refresh(protocol, token, randomUUID()));
    live = next.filter((token) => token !== null);
  }
  return live.length;
}

type Schedule = (protocol: RefreshProtocol, token: string) => Promise<Outcome>;

const pairWith =
  (makeKey: () => string | null): Schedule =>
  async (protocol, token) => {
    const key = makeKey();
    const both = await Promise.all([refresh(protocol, token, key), refresh(protocol, token, key)]);
    const refused = both.filter((brought) => brought === null).length;
    return { requests: 2, refused, chains: await chainsFrom(protocol, both) };
  };

/** The client never sees what came of the first request. */
const lostAnswer: Schedule = async (protocol, token) => {
  const key = randomUUID();
  if ((await refresh(protocol, token, key)) === null) throw new Error('what is to be lost was refused');
  const retried = await refresh(protocol, token, key);
  return { requests: 1, refused: retried === null ? 1 : 0, chains: await chainsFrom(protocol, [retried]) };
};

const schedules: Record<string, Schedule> = {
  'two at once, one key': pairWith(randomUUID),
  'two at once, no key': pairWith(() => null),
  'lost answer, retried': lostAnswer,
};

async function outcomesOf(contender: Contender, schedule: Schedule, atOnce: number, pairs: number): Promise<Outcome[]> {
  const tokens = await contender.fresh(pairs);
  const outcomes: Outcome[] = [];
  const worker = async () => {
    for (let token = tokens.pop(); token !== undefined; token = tokens.pop())
      outcomes.push(await schedule(contender.protocol, token));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return outcomes;
}

/** How many there were of each. */
function tallied(outcomes: readonly Outcome[]): (Outcome & { sessions: number })[] {
  const tally = new Map<string, Outcome & { sessions: number }>();
  for (const outcome of outcomes) {
    const name = Object.values(outcome).join(' ');
    tally.set(name, { ...outcome, sessions: (tally.get(name)?.sessions ?? 0) + 1 });
  }
  return [...tally.values()];
}

function cellsOf(outcomes: readonly Outcome[]): string[] {
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;
  return [
    String(outcomes.length),
    share(
      sum(({ refused }) => refused),
      sum(({ requests }) => requests),
    ),
    share(
      sum(({ chains }) => (chains === 1 ? 1 : 0)),
      outcomes.length,
    ),
    share(
      sum(({ chains }) => (chains > 1 ? 1 : 0)),
      outcomes.length,
    ),
    share(
      sum(({ chains }) => (chains === 0 ? 1 : 0)),
      outcomes.length,
    ),
  ];
}

/** Who knows no keys is not asked twice. */
const knowsKeys = (protocol: RefreshProtocol): boolean => protocol.request('t', 'k') !== protocol.request('t', null);

export const parallel: Part = {
  about: 'two refreshes with one token at once, and lost answers',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const contenders: Contender[] = [await startKeyturn(ground, bench), ...(await startPeers(ground, bench))];
    const pairs = bench.settings.quick ? QUICK_PAIRS : PAIRS;
    const rows: string[][] = [];
    const data: Record<string, unknown>[] = [];
    for (const contender of contenders)
      for (const [name, schedule] of Object.entries(schedules)) {
        if (name.endsWith('one key') && !knowsKeys(contender.protocol)) continue;
        for (const atOnce of AT_ONCE) {
          const first = [contender.row.name, name, String(atOnce)];
          bench.say(first.join(', '));
          try {
            const outcomes = await inTime(PATIENCE_MS, outcomesOf(contender, schedule, atOnce, pairs));
            rows.push([...first, ...cellsOf(outcomes)]);
            const wrong = outcomes.filter(({ refused, chains }) => refused > 0 || chains !== 1).length;
            if (contender.row.name === OURS && wrong > 0) bench.fail(`${first.join(', ')}: ${wrong} sessions`);
            data.push({ contender: contender.row.name, schedule: name, atOnce, outcomes: tallied(outcomes) });
          } catch (error) {
            bench.fail(`${first.join(', ')}: ${(error as Error).message}`);
            rows.push([...first, `failed: ${(error as Error).message}`, '', '', '', '']);
          }
        }
      }
    const columns = ['who', 'what', 'at once', 'sessions', 'refused', 'one live chain', 'several', 'dead sessions'];
    return { tables: [{ columns, rows }], how: 'each row once', charts: {}, data };
  },
};
