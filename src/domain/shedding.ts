/**
 * What is refused when there is too much to do, so that the rest is done in time. People who are logged in go on; those who
 * want to log in come again in a few seconds.
 */
import type { EventLoop } from '../ports/event-loop.js';
import type { Metrics } from '../ports/metrics.js';
import type { PasswordHasher } from '../ports/password-hasher.js';
import type { Random } from '../ports/random.js';
import { Refusal } from './errors.js';

/** When a request is shed: at the first sign of trouble, when little else can be done, or never. */
export type Importance = 'first' | 'second' | 'never';

/** 0: all is served. 1: what is to be shed first is shed. 2: all is, but what never is. */
export type Level = 0 | 1 | 2;

export type Strain = 'event_loop' | 'database';
/** `hashes`: a password would wait for too long; `late`: the request has. */
export const shedReasons = ['event_loop', 'database', 'hashes', 'late'] as const;
export type ShedReason = (typeof shedReasons)[number];

export interface Look {
  level: Level;
  /** What makes it so; null at 0. */
  strain: Strain | null;
  /** Milliseconds. */
  eventLoopDelay: number;
  /** Callers that wait for a connection to the database. */
  waiting: number;
  /** Requests that were shed since the level was last 0. */
  shed: number;
}

export interface Shedding {
  /** Looks how things stand. To be called every half second. */
  look(): Look;
  /** Refuses with `overloaded` what is not to be done now. `hashes`: it has to do with a password. */
  admit(importance: Importance, hashes: boolean): void;
  /** Refuses what has waited in this process for so long that nobody waits for the answer. Milliseconds. */
  begin(waited: number): void;
}

export interface SheddingParts {
  eventLoop: EventLoop;
  /** Callers that wait for one of so many connections; null where there are none to wait for. */
  database: () => { waiting: number } | null;
  connections: number;
  hasher: Pick<PasswordHasher, 'expectedWait' | 'longestWait'>;
  /** Milliseconds of delay at which shedding begins; 0 turns it off. */
  eventLoopDelay: number;
  metrics: Pick<Metrics, 'shed' | 'shedding'>;
  random: Random;
}

/** At so many times what begins the first level the second one does. */
const SECOND_LEVEL = 4;
/** Callers for each connection to the database that wait at the first level: one of them waits for ten others. */
const WAITING_PER_CONNECTION = 10;
/** Looks in a row that have to be better before a level ends: two seconds, or it would come and go. */
const CALM_LOOKS = 4;
/** Longer than the 10 s that a body may take to arrive, and shorter than the 15 s after which the answer is 503 anyhow. */
const LONGEST_WAIT_MS = 12_000;
/** Seconds. Drawn from these, so that not all come again at once. */
const FIRST_RETRY_S = 2;
const RETRY_SPREAD_S = 4;

/** Rises at once, and falls when it has been lower for a while. */
function createGauge(first: number): (value: number) => Level {
  let level: Level = 0;
  let calm = 0;
  return (value) => {
    const now: Level = first === 0 || value < first ? 0 : value < SECOND_LEVEL * first ? 1 : 2;
    calm = now < level ? calm + 1 : 0;
    if (now > level || calm >= CALM_LOOKS) {
      level = now;
      calm = 0;
    }
    return level;
  };
}

export function createShedding(parts: SheddingParts): Shedding {
  const { eventLoop, database, hasher, metrics, random } = parts;
  const loopLevel = createGauge(parts.eventLoopDelay);
  const databaseLevel = createGauge(WAITING_PER_CONNECTION * parts.connections);
  /** At the look before. */
  let waited = 0;
  let level: Level = 0;
  let strain: Strain | null = null;
  let shed = 0;

  function refuse(reason: ShedReason, after = FIRST_RETRY_S): never {
    metrics.shed(reason);
    shed++;
    const [drawn = 0] = random.bytes(1);
    throw new Refusal('overloaded', { retryAfter: after + (drawn % RETRY_SPREAD_S) });
  }

  return {
    look() {
      const delay = eventLoop.delay();
      const waiting = database()?.waiting ?? 0;
      // Those who wait still: one who sends hundreds of requests at once is done in a moment, and shuts nobody out by it.
      const [ofLoop, ofDatabase] = [loopLevel(delay), databaseLevel(Math.min(waiting, waited))];
      waited = waiting;
      if (level === 0) shed = 0;
      level = ofLoop > ofDatabase ? ofLoop : ofDatabase;
      strain = level === 0 ? null : ofLoop === level ? 'event_loop' : 'database';
      metrics.shedding(level, delay / 1000);
      return { level, strain, eventLoopDelay: delay, waiting, shed };
    },
    admit(importance, hashes) {
      if (strain !== null && importance !== 'never' && (level === 2 || importance === 'first')) refuse(strain);
      if (!hashes) return;
      const wait = hasher.expectedWait();
      if (wait > hasher.longestWait) refuse('hashes', Math.ceil((wait - hasher.longestWait) / 1000) + FIRST_RETRY_S);
    },
    begin(waited) {
      if (waited > LONGEST_WAIT_MS) refuse('late');
    },
  };
}
