/**
 * The service: one process for each request that arrives, running the real refresh. A process stops before everything
 * that takes time (each statement, the signature) until the schedule lets it go on, breaks its connection or drops it.
 */
import { type ErrorCode, Refusal } from '../../../src/domain/errors.js';
import {
  createRefresh,
  type decide,
  type RefreshOutcome,
  type RefreshParts,
  type RefreshSettings,
} from '../../../src/domain/refresh.js';
import { createSessionTokens } from '../../../src/domain/session-tokens.js';
import type { Instant, TokenSource } from '../../../src/domain/types.js';
import type { Clock } from '../../../src/ports/clock.js';
import { countNothing } from '../../../src/ports/metrics.js';
import type { Random } from '../../../src/ports/random.js';
import type { RotationAttempt } from '../../../src/ports/session-store.js';
import type { RefreshStore } from './memory-store.js';

export interface Request {
  number: number;
  token: string;
  key: string | null;
  /** Whether the right password comes with it. */
  password: boolean;
}

export type Answer = { token: string; outcome: RefreshOutcome } | { token: null; code: ErrorCode };

/** What answers of the service that say nothing of the token have as their code. */
export const isTemporary = (answer: Answer): boolean =>
  answer.token === null && (answer.code === 'store_unavailable' || answer.code === 'overloaded');

/** What is told of a process right after a statement of it. */
export interface Watch {
  rotated(attempt: RotationAttempt, found: TokenSource | null): void;
  read(at: Instant): void;
  ended(done: boolean): void;
}

export interface Service {
  store: RefreshStore;
  random: Random;
  settings: RefreshSettings;
  stateMachine: typeof decide;
}

export type Operation = 'rotate' | 'find' | 'prove' | 'end' | 'sign';
export type How = 'works' | 'breaks before' | 'breaks after';

export interface Process {
  request: Request;
  /** What it is about to do; null when it is done. */
  next(): Operation | null;
  /** Resolves when it is about to do the next thing, or done. */
  step(how?: How): Promise<void>;
  answer(): Answer | null;
  /** The time of the service by which it was answered. */
  at(): Instant;
}

const caller = { ip: null, place: null, userAgent: null, requestId: null };
const audit = { append: async () => {} };

export async function startProcess(service: Service, request: Request, clock: Clock, watch: Watch): Promise<Process> {
  const { store, random, settings } = service;
  let waiting: { operation: Operation; go: (how: How) => void } | null = null;
  let stopped = () => {};
  let answer: Answer | null = null;
  let fault: unknown;
  let at = clock.now();

  const untilItStops = (go: () => void): Promise<void> =>
    new Promise<void>((resolve) => {
      stopped = resolve;
      go();
    }).then(() => {
      if (fault !== undefined) throw fault;
    });

  const gate = (operation: Operation): Promise<How> =>
    new Promise((go) => {
      waiting = { operation, go };
      stopped();
    });

  async function through<T>(operation: Operation, work: () => Promise<T>): Promise<T> {
    const how = await gate(operation);
    if (how === 'breaks before') throw new Refusal('store_unavailable');
    const result = await work();
    if (how === 'breaks after') throw new Refusal('store_unavailable');
    return result;
  }

  const sessions: RefreshParts['sessions'] = {
    rotate: (attempt) =>
      through('rotate', async () => {
        const found = await store.rotate(attempt);
        watch.rotated(attempt, found);
        return found;
      }),
    find: (id) =>
      through('find', async () => {
        const found = await store.find(id);
        watch.read(at);
        return found;
      }),
    end: (...args) =>
      through('end', async () => {
        const done = await store.end(...args);
        watch.ended(done);
        return done;
      }),
  };
  const accessTokens = { ensureCanIssue: () => {}, issue: () => through('sign', async () => 'an access token') };
  const parts = {
    sessions,
    provePassword: () => through('prove', async () => {}),
    audit,
    // Access tokens are no part of the model.
    revocations: { enforce: async () => {} },
    metrics: countNothing,
    tokens: createSessionTokens(accessTokens, () => 'a jti'),
    clock: {
      ...clock,
      now() {
        at = clock.now();
        return at;
      },
    },
    random,
    settings,
  };

  async function run(): Promise<void> {
    try {
      const refresh = createRefresh(parts, service.stateMachine);
      const { token, key } = request;
      const password = request.password ? 'the password' : null;
      const result = await refresh({ refreshToken: token, idempotencyKey: key, clientId: null, password, caller });
      answer = { token: result.response.refresh_token, outcome: result.outcome };
    } catch (error) {
      if (error instanceof Refusal) answer = { token: null, code: error.code };
      else fault = error;
    }
    stopped();
  }

  await untilItStops(() => void run());
  return {
    request,
    next: () => waiting?.operation ?? null,
    answer: () => answer,
    at: () => at,
    step(how = 'works') {
      const { go } = waiting ?? {};
      if (go === undefined) throw new Error('the process is done');
      waiting = null;
      return untilItStops(() => go(how));
    },
  };
}
