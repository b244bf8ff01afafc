/** What may happen to the requests of one session, and what comes of it: two at once, and one whose answer was lost. */
import { randomUUID } from 'node:crypto';
import { askOnce } from '../http-load.js';
import { type RefreshProtocol, tokensOf } from './chain.js';
import type { Contender } from './contenders.js';

export interface Outcome {
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

export type Schedule = (protocol: RefreshProtocol, token: string) => Promise<Outcome>;

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

export const schedules: Record<string, Schedule> = {
  'two at once, one key': pairWith(randomUUID),
  'two at once, no key': pairWith(() => null),
  'lost answer, retried': lostAnswer,
};

export async function outcomesOf(
  contender: Contender,
  schedule: Schedule,
  atOnce: number,
  pairs: number,
): Promise<Outcome[]> {
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
export function tallied(outcomes: readonly Outcome[]): (Outcome & { sessions: number })[] {
  const tally = new Map<string, Outcome & { sessions: number }>();
  for (const outcome of outcomes) {
    const name = Object.values(outcome).join(' ');
    tally.set(name, { ...outcome, sessions: (tally.get(name)?.sessions ?? 0) + 1 });
  }
  return [...tally.values()];
}

export function cellsOf(outcomes: readonly Outcome[]): string[] {
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
export const knowsKeys = (protocol: RefreshProtocol): boolean =>
  protocol.request('t', 'k') !== protocol.request('t', null);
