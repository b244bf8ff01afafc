/** Runs generated schedules until one fails, and tells of that one in the fewest steps that make it fail. */
import fc from 'fast-check';
import { decide } from '../../../src/domain/refresh.js';
import { instant, type SessionId, type UserId } from '../../../src/domain/types.js';
import { makeSession } from '../../support/sessions.js';
import { type Invariant, Violation } from './invariants.js';
import { createMemoryStore } from './memory-store.js';
import { type Mutation, mutatedStore } from './mutations.js';
import { runSchedule } from './run.js';
import { type Schedule, schedules } from './schedule.js';
import type { Events } from './world.js';

const START = instant(Date.UTC(2026, 2, 1, 12));
const uuid = (n: number) => `01900000-0000-7000-8000-00000000000${n}`;
/** Two sessions of one user, and one of another. */
const OWNERS = [8, 8, 9];

/** Rows are only ever replaced, so that all schedules can begin with the same. */
const sessions = OWNERS.map((owner, n) =>
  makeSession(START, [], { id: uuid(n) as SessionId, userId: uuid(owner) as UserId }),
);

async function run(schedule: Schedule, mutation: Mutation | null, events: Events): Promise<void> {
  const rows = new Map(sessions.map(({ found }) => [found.session.id, found.session]));
  await runSchedule(
    schedule,
    {
      start: START,
      sessions,
      rows,
      store: mutation === null ? createMemoryStore(rows) : mutatedStore(rows, mutation),
      stateMachine: mutation?.stateMachine ?? decide,
      settings: mutation?.settings ?? {},
      clientFault: mutation?.clientFault ?? null,
    },
    events,
  );
}

export interface Failure {
  /** Null where it is no invariant that failed. */
  invariant: Invariant | null;
  /** What happened, step by step, and at last what is wrong with that. */
  steps: string[];
}

export interface Report {
  schedules: number;
  seed: number;
  /** In how many schedules something was seen. */
  seen: Map<string, number>;
  failure: Failure | null;
}

export interface Options {
  schedules: number;
  seed?: number;
  mutation?: Mutation;
  /** Without it the first failing schedule is told as it is. */
  shrink?: boolean;
}

export async function check({ schedules: numRuns, seed, mutation, shrink = true }: Options): Promise<Report> {
  const seen = new Map<string, number>();
  const property = fc.asyncProperty(schedules, async (schedule) => {
    const events: Events = { lines: [], seen: new Set() };
    await run(schedule, mutation ?? null, events);
    for (const what of events.seen) seen.set(what, (seen.get(what) ?? 0) + 1);
  });
  const details = await fc.check(property, {
    numRuns,
    endOnFailure: !shrink,
    ...(seed === undefined ? {} : { seed }),
  });
  const failing = details.counterexample?.[0];
  const failure = failing === undefined ? null : await failureOf(failing, mutation ?? null);
  return { schedules: details.numRuns, seed: details.seed, seen, failure };
}

async function failureOf(schedule: Schedule, mutation: Mutation | null): Promise<Failure> {
  const events: Events = { lines: [`the replay window is ${schedule.replayWindow} s`], seen: new Set() };
  try {
    await run(schedule, mutation, events);
  } catch (error) {
    const invariant = error instanceof Violation ? error.invariant : null;
    return { invariant, steps: [...events.lines, error instanceof Error ? error.message : String(error)] };
  }
  throw new Error('the schedule fails no more');
}
