/** The store of the refresh model against a real one: after every operation of generated schedules they are compared. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Test } from 'tap';
import { decide } from '../../src/domain/refresh.js';
import type { Session, SessionWithOwner, User } from '../../src/domain/types.js';
import { createMemoryStore, type RefreshStore } from '../domain/refresh-model/memory-store.js';
import { runSchedule } from '../domain/refresh-model/run.js';
import { schedules } from '../domain/refresh-model/schedule.js';
import type { MadeSession } from '../support/sessions.js';

const SCHEDULES = 40;

const rowOf = (found: unknown): unknown => {
  const { session } = (found ?? {}) as Partial<SessionWithOwner>;
  return session === undefined ? found : { ...session, ...bytesOf(session) };
};

/** A Buffer and a Uint8Array with the same bytes are the same. */
const bytesOf = (session: Session) =>
  Object.fromEntries(
    Object.entries(session).flatMap(([name, value]) =>
      value instanceof Uint8Array ? [[name, Buffer.from(value).toString('hex')]] : [],
    ),
  );

/** Does everything in both, and throws where they differ. */
function inBoth(memory: RefreshStore, real: RefreshStore, count: () => void): RefreshStore {
  async function same<T>(work: (store: RefreshStore) => Promise<T>): Promise<T> {
    const [expected, result] = [await work(memory), await work(real)];
    if (!isDeepStrictEqual(rowOf(result), rowOf(expected))) throw new Error('the stores differ');
    count();
    return expected;
  }
  return {
    find: (id) => same((store) => store.find(id)),
    rotate: (attempt) => same((store) => store.rotate(attempt)),
    demandPassword: (...args) => same((store) => store.demandPassword(...args)),
    end: (...args) => same((store) => store.end(...args)),
  };
}

/** `newSession` makes one in the real store. */
export async function sameAsModel(
  t: Test,
  real: RefreshStore,
  newUser: () => Promise<User>,
  newSession: (user: User) => Promise<MadeSession>,
): Promise<void> {
  let operations = 0;
  const check = fc.asyncProperty(schedules, async (schedule) => {
    const [user, other] = [await newUser(), await newUser()];
    const sessions = [await newSession(user), await newSession(user), await newSession(other)];
    const rows = new Map(sessions.map(({ found }) => [found.session.id, found.session]));
    const store = inBoth(createMemoryStore(rows), real, () => operations++);
    const start = user.createdAt;
    const events = { lines: [], seen: new Set<string>() };
    await runSchedule(schedule, { start, sessions, rows, store, stateMachine: decide }, events);
    for (const id of rows.keys()) await store.find(id);
  });
  const report = await fc.check(check, { numRuns: SCHEDULES });
  t.notOk(report.failed, fc.defaultReportMessage(report) ?? '');
  t.ok(operations > SCHEDULES, `${operations} operations were the same`);
}
