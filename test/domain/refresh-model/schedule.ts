/**
 * What a schedule is made of: plain data, so that a failing one shrinks to the few commands that matter.
 *
 * Whatever a command is about is named by a number that wraps around what there is at that moment. A command that finds
 * nothing to act on does nothing, so that any part of a schedule is a schedule.
 */
import fc from 'fast-check';

/** In the order in which they stand in a token. */
export const tokenParts = ['session', 'generation', 'secret', 'tag'] as const;
export type TokenPart = (typeof tokenParts)[number];

export type Command =
  /** A client asks for new tokens, or asks again. With `smooth` nothing comes between the request and its answer. */
  | { do: 'refresh'; client: number; smooth: boolean }
  /** A client that has a bug asks with the key of its last refresh. */
  | { do: 'repeat key'; client: number }
  /** A client dies and starts again with what it had stored. */
  | { do: 'restart'; client: number }
  | { do: 'arrive'; request: number; node: number; copy: boolean }
  | { do: 'lose request'; request: number }
  /** A process of the service does its next statement, or signs. */
  | { do: 'work'; process: number }
  /** The connection to the database breaks, before the statement is committed or after. */
  | { do: 'break'; process: number; committed: boolean }
  | { do: 'kill'; process: number }
  | { do: 'answer'; answer: number }
  | { do: 'lose answer'; answer: number }
  /** Seconds; negative where the clock is set back. */
  | { do: 'clock'; by: number }
  /** The thief copies the token that a client has stored. */
  | { do: 'steal'; client: number }
  /** The thief uses one of his tokens, the newest first. */
  | { do: 'use'; loot: number; key: boolean; smooth: boolean }
  /** The detection of anomalies has a client's session go on with the password alone. */
  | { do: 'demand password'; client: number }
  /** Somebody changes parts of a token that was once issued, and presents that. */
  | { do: 'forge'; token: number; parts: readonly TokenPart[] };

export interface Schedule {
  /** Seconds. */
  replayWindow: number;
  commands: readonly Command[];
  /** After all commands, where owners and thieves use what they have. */
  thiefIsFirst: boolean;
}

const MAX_COMMANDS = 40;
const MINUTE = 60;
const DAY = 86_400;
/** Around the leeway, around the short replay window, a weekend, and past the idle end. */
const CLOCK_STEPS = [1, 4, 11, MINUTE, 3 * DAY, 15 * DAY, -3];

const number = fc.nat({ max: 3 });
/** Much happens to the first client, so that its session gets far. */
const client = fc.constantFrom(0, 0, 0, 1, 2, 2);

const weighted: [number, fc.Arbitrary<Command>][] = [
  [9, fc.record({ do: fc.constant('refresh' as const), client, smooth: fc.boolean() })],
  [1, fc.record({ do: fc.constant('repeat key' as const), client })],
  [1, fc.record({ do: fc.constant('restart' as const), client })],
  [6, fc.record({ do: fc.constant('arrive' as const), request: number, node: number, copy: fc.boolean() })],
  [1, fc.record({ do: fc.constant('lose request' as const), request: number })],
  [12, fc.record({ do: fc.constant('work' as const), process: number })],
  [1, fc.record({ do: fc.constant('break' as const), process: number, committed: fc.boolean() })],
  [2, fc.record({ do: fc.constant('kill' as const), process: number })],
  [5, fc.record({ do: fc.constant('answer' as const), answer: number })],
  [1, fc.record({ do: fc.constant('lose answer' as const), answer: number })],
  [4, fc.record({ do: fc.constant('clock' as const), by: fc.constantFrom(...CLOCK_STEPS) })],
  [2, fc.record({ do: fc.constant('steal' as const), client })],
  [3, fc.record({ do: fc.constant('use' as const), loot: number, key: fc.boolean(), smooth: fc.boolean() })],
  [1, fc.record({ do: fc.constant('demand password' as const), client })],
  [
    2,
    fc.record({
      do: fc.constant('forge' as const),
      token: fc.nat({ max: 11 }),
      parts: fc.subarray([...tokenParts], { minLength: 1 }),
    }),
  ],
];

export const schedules: fc.Arbitrary<Schedule> = fc.record({
  replayWindow: fc.constantFrom(Number.POSITIVE_INFINITY, MINUTE),
  commands: fc.array(fc.oneof(...weighted.map(([weight, arbitrary]) => ({ weight, arbitrary }))), {
    maxLength: MAX_COMMANDS,
    size: 'max',
  }),
  thiefIsFirst: fc.boolean(),
});
