/**
 * I1–I5, I7 and I9 of the design, over a history of its own: what was issued, rotated and ended, by whom and when. Nothing
 * here asks the state machine what it thinks; of the rows it only looks at which of them have changed.
 */

import type { RefreshSettings } from '../../../src/domain/refresh.js';
import { parseRefreshToken, sha256 } from '../../../src/domain/refresh-token.js';
import { type Instant, later, type Session, type SessionId, type Sha256 } from '../../../src/domain/types.js';
import type { MadeSession } from '../../support/sessions.js';
import { type Rows, sameBytes } from './memory-store.js';
import { type Answer, isTemporary, type Request, type Watch } from './service.js';

/** I9: a session that goes on with the password alone gives no tokens without it. */
export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I7' | 'I9';

export class Violation extends Error {
  readonly invariant: Invariant;
  constructor(invariant: Invariant, what: string) {
    super(`${invariant}: ${what}`);
    this.invariant = invariant;
  }
}

/** `careless` is an owner whose client breaks the retry rule. */
export type Sender = 'owner' | 'careless' | 'thief' | 'forger';

interface PastRotation {
  at: Instant;
  key: string | null;
  nextHash: Sha256;
  /** The refresh token that was given for the one it used up; null before the first answer. */
  successor: string | null;
}

/** What is known of a session without looking at its row. */
interface Past {
  number: number;
  session: Session;
  /** The one at n used up the token of generation n. */
  rotations: PastRotation[];
  ended: boolean;
  /** Some token of it was presented. */
  used: boolean;
  /** A thief has used a token of it. */
  robbed: boolean;
  /** Its client has rotated against the rule. */
  careless: boolean;
  /** The password has been asked for, ever; and has not been given since. */
  demanded: boolean;
  demands: boolean;
}

interface Issued {
  past: Past;
  generation: number;
}

/** A watch over one process. */
export interface Use extends Watch {
  answered(answer: Answer): void;
}

const KEPT_ROTATIONS = 4;
const IDLE_TTL_S = 14 * 86_400;

export interface Invariants {
  /** In the order in which they were issued. */
  issued(): string[];
  nameOf(token: string): string;
  arrived(request: Request, sender: Sender): Use;
  /** From now on the password is asked for. */
  demanded(session: Session): void;
  wasDemanded(session: Session): boolean;
  /** The owner logs out by himself. */
  loggedOut(session: Session): void;
  /** An owner gets the answer that he waits for; `at` is the service's time. */
  told(session: Session, answer: Answer, at: Instant): void;
  isRobbed(session: Session): boolean;
  /** Its owner, and nobody else, has used a token of it, and has kept to the rule. */
  isHonest(session: Session): boolean;
  isOver(session: Session, at: Instant): boolean;
  expect(holds: boolean, invariant: Invariant, what: string): void;
}

export function createInvariants(made: readonly MadeSession[], rows: Rows, settings: RefreshSettings): Invariants {
  const pasts = new Map<SessionId, Past>();
  const issued = new Map<string, Issued>();
  for (const [n, { found, tokens }] of made.entries()) {
    const past = {
      number: n + 1,
      session: found.session,
      rotations: [],
      ended: false,
      used: false,
      robbed: false,
      careless: false,
      demanded: false,
      demands: false,
    };
    pasts.set(found.session.id, past);
    issued.set(tokens[0] ?? '', { past, generation: 0 });
  }
  let lastRows = new Map(rows);

  const pastOf = ({ id }: Session): Past => {
    const past = pasts.get(id);
    if (past === undefined) throw new Error('no such session');
    return past;
  };

  const hasExpired = ({ session, rotations }: Past, at: Instant): boolean =>
    at >= later(rotations.at(-1)?.at ?? session.createdAt, IDLE_TTL_S) || at >= session.expiresAt;

  const expect = (holds: boolean, invariant: Invariant, what: string) => {
    if (!holds) throw new Violation(invariant, what);
  };

  /** After every statement: no row but that of the token has changed. */
  function checkRows(target: Issued | undefined): void {
    for (const [id, row] of rows) {
      if (lastRows.get(id) === row) continue;
      expect(target !== undefined, 'I7', 'a token that was never issued has changed a session');
      expect(id === target?.past.session.id, 'I5', 'another session has changed');
    }
    lastRows = new Map(rows);
  }

  function arrived(request: Request, sender: Sender): Use {
    const token = issued.get(request.token);
    if (token !== undefined) token.past.used = true;
    if (token !== undefined && sender === 'thief') token.past.robbed = true;
    // As of the moment when the process has read the row, by the clock of its node.
    let isLate = false;
    let mustEnd = false;
    let readEnded = false;
    let readDemands = false;
    const WITHOUT = 'a session that needs the password goes on without it';

    return {
      rotated(attempt, found) {
        if (found !== null) {
          if (token === undefined) throw new Violation('I7', 'a token that was never issued rotates');
          const { past, generation } = token;
          expect(past.rotations[generation] === undefined, 'I1', 'a second request with one token rotates');
          expect(!past.ended, 'I4', 'a token of a session that was ended rotates');
          expect(!past.demands || request.password, 'I9', WITHOUT);
          past.demands = false;
          readDemands = false;
          past.rotations.push({ at: attempt.at, key: request.key, nextHash: attempt.nextHash, successor: null });
          if (sender === 'careless') past.careless = true;
        }
        checkRows(token);
      },

      read(at) {
        checkRows(token);
        if (token === undefined) return;
        const { past, generation } = token;
        readEnded = past.ended;
        readDemands = past.demands;
        const rotation = past.rotations[generation];
        if (rotation === undefined) return;
        const elapsed = (at - rotation.at) / 1000;
        const age = past.rotations.length - generation;
        const hasItsKey = request.key !== null && request.key === rotation.key;
        isLate =
          age > KEPT_ROTATIONS || elapsed >= (request.key === null ? settings.reuseLeeway : settings.replayWindow);
        mustEnd = !hasItsKey && elapsed >= settings.reuseLeeway && !hasExpired(past, at);
      },

      ended(done) {
        if (done) {
          if (token === undefined) throw new Violation('I7', 'a token that was never issued ends a session');
          const { past, generation } = token;
          expect(generation < past.rotations.length, 'I7', 'a token that is not an old one ends its session');
          const isFair = past.robbed || past.careless || sender === 'careless' || isLate;
          expect(isFair, 'I3', 'the session of an honest client is ended');
          past.ended = true;
        }
        checkRows(token);
      },

      answered(answer) {
        if (isTemporary(answer)) return;
        if (token === undefined) {
          const isRefused = answer.token === null && answer.code === 'invalid_refresh_token';
          return expect(isRefused, 'I7', 'a token that was never issued is not simply invalid');
        }
        const { past, generation } = token;
        if (answer.token !== null) {
          const rotation = past.rotations[generation];
          if (rotation === undefined) throw new Violation('I1', 'a request is answered though none has rotated');
          expect(!readEnded, 'I4', 'a token of a session that was ended is answered');
          expect(!readDemands || request.password, 'I9', WITHOUT);
          const secret = parseRefreshToken(answer.token)?.secret ?? new Uint8Array();
          const isNext = sameBytes(sha256(secret), rotation.nextHash);
          expect(isNext, 'I2', 'an answer has another successor than the rotation');
          rotation.successor ??= answer.token;
          expect(rotation.successor === answer.token, 'I2', 'two answers for one token differ');
          issued.set(answer.token, { past, generation: generation + 1 });
        }
        expect(!mustEnd || past.ended, 'I4', 'an old token is used without its key, and the session lives on');
      },
    };
  }

  function told(session: Session, answer: Answer, at: Instant): void {
    if (answer.token !== null || isTemporary(answer)) return;
    const past = pastOf(session);
    if (answer.code === 'password_required') {
      expect(past.demanded, 'I9', 'nobody has asked for the password');
      return;
    }
    const isFair =
      answer.code === 'session_expired' ? hasExpired(past, at) : past.ended || past.robbed || past.careless;
    expect(isFair, 'I3', `an honest client is refused with ${answer.code}`);
  }

  return {
    issued: () => [...issued.keys()],
    nameOf(token) {
      const { past, generation } = issued.get(token) ?? {};
      return past === undefined ? 'a forged token' : `token ${past.number}.${generation}`;
    },
    arrived,
    demanded(session) {
      const past = pastOf(session);
      if (!past.ended) Object.assign(past, { demanded: true, demands: true });
      lastRows = new Map(rows);
    },
    wasDemanded: (session) => pastOf(session).demanded,
    loggedOut(session) {
      pastOf(session).ended = true;
      lastRows = new Map(rows);
    },
    told,
    isRobbed: (session) => pastOf(session).robbed,
    isHonest(session) {
      const { used, robbed, careless } = pastOf(session);
      return used && !robbed && !careless;
    },
    isOver: (session, at) => pastOf(session).ended || hasExpired(pastOf(session), at),
    expect,
  };
}
