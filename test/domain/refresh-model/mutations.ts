/** The rules of the machine, each broken alone: what the model must notice, and what it must call it. */

import { systemRandom } from '../../../src/adapters/system/random.js';
import { type Decision, decide, type RefreshSettings } from '../../../src/domain/refresh.js';
import { isGenuine } from '../../../src/domain/refresh-token.js';
import type { SessionWithOwner } from '../../../src/domain/types.js';
import type { Invariant } from './invariants.js';
import { createMemoryStore, type RefreshStore, type Rows, rotateStatement } from './memory-store.js';
import type { ClientFault } from './parties.js';

export interface Mutation {
  /** The rule that takes the place of the right one. */
  name: string;
  breaks: Invariant;
  settings?: Partial<RefreshSettings>;
  stateMachine?: typeof decide;
  statement?: Partial<typeof rotateStatement>;
  store?: (store: RefreshStore, rows: Rows) => RefreshStore;
  clientFault?: ClientFault;
}

const { where, set } = rotateStatement;

const isRefusedWith = (decision: Decision, code: string): boolean => decision.do === 'refuse' && decision.code === code;

const replay: Decision = { do: 'repeat', outcome: 'replayed' };
const reused: Decision = { do: 'refuse', code: 'refresh_token_reused', effect: 'end_session' };
const superseded: Decision = { do: 'refuse', code: 'refresh_superseded', effect: 'none' };

/** Another decision wherever the right one is a refusal with `code`, and the request is `about` such a token. */
const instead =
  (
    code: string,
    decision: Decision,
    about: (age: number, found: SessionWithOwner, at: number) => boolean = () => true,
  ): typeof decide =>
  (found, presented, at, settings) => {
    const right = decide(found, presented, at, settings);
    if (found === null || !isRefusedWith(right, code)) return right;
    return about(found.session.generation - presented.token.generation, found, at) ? decision : right;
  };

export const mutations: readonly Mutation[] = [
  {
    name: 'row 1: the rotation does not depend on the generation and the hash',
    breaks: 'I1',
    statement: {
      where: (row, attempt) =>
        where({ ...row, generation: attempt.generation, currentHash: attempt.secretHash }, attempt),
    },
  },
  {
    name: 'row 1: a session that was ended rotates',
    breaks: 'I4',
    statement: { where: (row, attempt) => where({ ...row, revokedAt: null }, attempt) },
  },
  {
    name: 'row 1: the salt of a rotation is not stored',
    breaks: 'I2',
    statement: { set: (row, attempt) => ({ ...set(row, attempt), rotationSalt: row.rotationSalt }) },
  },
  {
    name: 'row 2: a key that comes again with the next token ends the session',
    breaks: 'I7',
    stateMachine: instead('idempotency_key_reused', reused),
  },
  { name: 'row 3: there is no replay', breaks: 'I3', settings: { replayWindow: 0 } },
  {
    name: 'row 3: the replay does not look at the key',
    breaks: 'I4',
    stateMachine: instead('refresh_token_reused', replay, (age) => age === 1),
  },
  {
    name: 'row 3: the key of a rotation is not stored',
    breaks: 'I3',
    statement: { set: (row, attempt) => set(row, { ...attempt, key: null }) },
  },
  {
    name: 'row 3: a replay draws a salt of its own',
    breaks: 'I2',
    store: (store) => ({
      ...store,
      async find(id) {
        const found = await store.find(id);
        return found && { ...found, session: { ...found.session, rotationSalt: systemRandom.bytes(32) } };
      },
    }),
  },
  { name: 'row 4: there is no leeway', breaks: 'I3', settings: { reuseLeeway: 0 } },
  {
    name: 'row 4: the previous token is good without its key for ever',
    breaks: 'I4',
    settings: { reuseLeeway: Number.POSITIVE_INFINITY },
  },
  {
    name: 'row 4: a token two rotations old is answered as if it were the previous one',
    breaks: 'I2',
    stateMachine: instead('refresh_superseded', replay),
  },
  {
    name: 'row 5: a late duplicate ends the session',
    breaks: 'I3',
    stateMachine: instead('refresh_superseded', reused),
  },
  {
    name: 'row 5: only the latest rotation is remembered',
    breaks: 'I3',
    statement: {
      set: (row, attempt) => {
        const next = set(row, attempt);
        return { ...next, rotations: next.rotations.slice(0, 1) };
      },
    },
  },
  {
    name: 'row 5: the leeway is that of the latest rotation, whichever used up the token',
    breaks: 'I4',
    stateMachine: instead(
      'refresh_token_reused',
      superseded,
      (age, { session }, at) => age > 1 && at - (session.rotations[0]?.at ?? 0) < 10_000,
    ),
  },
  {
    name: 'row 5: whatever is among the last four is a late duplicate',
    breaks: 'I4',
    stateMachine: instead('refresh_token_reused', superseded, (age) => age > 1 && age <= 4),
  },
  {
    name: 'row 6: reuse is refused, and the session lives on',
    breaks: 'I4',
    stateMachine: instead('refresh_token_reused', { ...reused, effect: 'none' }),
  },
  {
    name: 'row 6: the end of the session is not stored',
    breaks: 'I4',
    store: (store) => ({ ...store, end: async () => true }),
  },
  {
    name: 'row 6: reuse ends all sessions of the user',
    breaks: 'I5',
    store: (store, rows) => ({
      ...store,
      async end(id, userId, reason, event) {
        const others = [...rows.values()].filter((row) => row.userId === userId && row.id !== id);
        for (const other of others) await store.end(other.id, userId, reason, event);
        return store.end(id, userId, reason, event);
      },
    }),
  },
  {
    name: 'row 7: the tag is not looked at',
    breaks: 'I7',
    stateMachine: (found, presented, at, settings) => {
      const right = decide(found, presented, at, settings);
      if (found === null || isGenuine(presented.token, found.session.familyKey)) return right;
      return found.session.generation - presented.token.generation > 1 ? reused : right;
    },
  },
  {
    name: 'row 9: the previous token of a session that was ended is replayed',
    breaks: 'I4',
    stateMachine: instead('session_revoked', replay, (age) => age === 1),
  },
  {
    name: 'a rotation does not wait for the password',
    breaks: 'I9',
    statement: { where: (row, attempt) => where({ ...row, stepUpAt: attempt.proved }, attempt) },
  },
  {
    name: 'a replay does not wait for the password',
    breaks: 'I9',
    stateMachine: instead('password_required', replay, (age) => age === 1),
  },
  {
    name: 'the retry rule: a client draws a key for each attempt',
    breaks: 'I3',
    clientFault: 'draws a key for each attempt',
  },
  {
    name: 'the retry rule: a client does not log out when its answer went to somebody else',
    breaks: 'I4',
    clientFault: 'does not log out when it is superseded',
  },
];

/** The store of a world, with the mutation's rules in it. */
export const mutatedStore = (rows: Rows, { statement, store = (same) => same }: Mutation): RefreshStore =>
  store(createMemoryStore(rows, { ...rotateStatement, ...statement }), rows);
