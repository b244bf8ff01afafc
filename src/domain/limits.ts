/** Guessing at secrets, slowed down: too many failures from one address, or at one account, block it for a while. */
import ipaddr from 'ipaddr.js';
import type { AttemptLimiter } from '../ports/attempt-limiter.js';
import type { Clock } from '../ports/clock.js';
import type { Counted } from '../ports/metrics.js';
import { toBase64url } from './base64url.js';
import type { Blocks } from './blocks.js';
import type { DeviceId } from './devices.js';
import { isGuess, Refusal } from './errors.js';
import { sha256 } from './refresh-token.js';
import type { Caller, SessionId } from './types.js';

/** Who guesses at a password, if it is a guess, and at whose. */
export interface PasswordAttempt {
  caller: Caller;
  /** As e-mails are compared; there may be no such account. */
  emailKey: string;
  /** The device, if somebody has logged in to this account on it before. */
  device: DeviceId | null;
}

export interface Guard {
  /**
   * Refuses with `too_many_attempts` while the caller's address is blocked, and counts a guess that fails. Also refuses
   * what came of an attempt that ends in a block: of guesses sent at once no more are answered than of guesses sent one
   * by one. So `attempt` checks the secret, and begins nothing by it.
   */
  secret<T>(caller: Caller, attempt: () => Promise<T>): Promise<T>;
  /**
   * The same for a password, counted for the account too, whether there is one or not. A device that is known is counted
   * for itself alone: strangers who guess cannot lock it out, nor make it wait. What is slow to check is checked for one address, and for one
   * account, only as many times at once as the limit allows; the others wait for their turn, and find it blocked.
   */
  password<T>(who: PasswordAttempt, attempt: () => Promise<T>): Promise<T>;
  /**
   * The same for the password of somebody who has a session, counted for the session and the address. Like a known device
   * he is refused for the guesses of his session alone, not for those of strangers behind his address.
   */
  ownPassword<T>(caller: Caller, session: SessionId, attempt: () => Promise<T>): Promise<T>;
  /**
   * Counts and refuses nothing. For work that is slow and asks for no secret: of one address as much at once as of passwords,
   * so that nobody fills the queue of all others by himself.
   */
  slow<T>(caller: Caller, work: () => Promise<T>): Promise<T>;
  /**
   * For what cannot be guessed: somebody who presents a genuine token from a blocked address (an office, a mobile
   * carrier) is let through, and only the guess is refused. Nobody is asked about the address of a good token.
   */
  token<T>(caller: () => Caller, attempt: () => Promise<T>): Promise<T>;
}

/** The well-known prefix of RFC 6052: behind a NAT64 every IPv4 address of the internet is in one /64. */
const isTranslated = (address: ipaddr.IPv6): boolean => address.range() === 'rfc6052';

/**
 * The address as it is counted: IPv6 by /64, which is what one subscriber has; IPv4 in IPv6 dress as IPv4.
 */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown';
  const parsed = ipaddr.process(address);
  const bytes = parsed.toByteArray();
  if (parsed instanceof ipaddr.IPv4) return parsed.toString();
  if (isTranslated(parsed)) return ipaddr.fromByteArray(bytes.slice(-4)).toString();
  // Made of its bytes alone: a zone (`fe80::1%eth0`) is no part of the network.
  return `${ipaddr.fromByteArray([...bytes.slice(0, 8), ...Array(8).fill(0)]).toString()}/64`;
}

const tooMany = (retryAfter: number) => new Refusal('too_many_attempts', { retryAfter });

interface Subject {
  kind: Counted;
  name: string;
}

/** Nobody who reads the limiter's memory finds e-mails there that somebody has tried. */
const accountOf = (emailKey: string): Subject => ({ kind: 'account', name: toBase64url(sha256(emailKey)) });
const addressOf = ({ ip }: Caller): Subject => ({ kind: 'address', name: ip === null ? 'unknown' : networkOf(ip) });
const deviceOf = (id: DeviceId | SessionId): Subject => ({ kind: 'device', name: id });

export interface GuardParts {
  limiters: Record<Counted, AttemptLimiter>;
  /** How many passwords are checked at once for one address, account or device; Infinity where nothing is counted. */
  width: number;
  blocks: Pick<Blocks, 'began'>;
  clock: Pick<Clock, 'monotonic'>;
}

export function createGuard({ limiters, width, blocks, clock }: GuardParts): Guard {
  const inTurn = createTurns(width, clock);

  async function refuseBlocked(subjects: readonly Subject[]): Promise<void> {
    const left = await Promise.all(subjects.map(({ kind, name }) => limiters[kind].blockedFor(name)));
    const longest = Math.max(...left);
    if (longest > 0) throw tooMany(longest);
  }

  async function failed(subjects: readonly Subject[], caller: Caller, refusal: Refusal): Promise<never> {
    for (const subject of subjects) {
      const { blockedFor, begins } = await limiters[subject.kind].fail(subject.name);
      // Begun before the block, and failed after it: the limit has been told its answers.
      if (blockedFor > 0 && !begins) throw tooMany(blockedFor);
      if (blockedFor > 0) blocks.began({ ...subject, seconds: blockedFor, caller, userId: refusal.subject?.sub });
    }
    throw refusal;
  }

  /** Refused for the guesses of the subjects; `also` are counted. */
  async function checked<T>(
    subjects: readonly Subject[],
    caller: Caller,
    attempt: () => Promise<T>,
    also: readonly Subject[] = [],
  ): Promise<T> {
    await refuseBlocked(subjects);
    const outcome = await attempt().then(
      (value) => () => value,
      (error) => {
        if (isGuess(error)) return failed([...subjects, ...also], caller, error);
        return () => {
          throw error;
        };
      },
    );
    await refuseBlocked(subjects);
    return outcome();
  }

  /** In the order of the subjects, which is the same for all: nobody waits for somebody who waits for him. */
  const inTurnChecked = <T>(
    subjects: readonly Subject[],
    caller: Caller,
    attempt: () => Promise<T>,
    also?: readonly Subject[],
  ): Promise<T> =>
    subjects.reduceRight<() => Promise<T>>(
      (work, { kind, name }) =>
        () =>
          inTurn(`${kind}:${name}`, work),
      () => checked(subjects, caller, attempt, also),
    )();

  /**
   * Whoever has accounts of his own has devices and sessions, as many as he likes, and would fill the queue of all others
   * with right passwords. Those of one address wait for one another, and not for strangers there.
   */
  const besideKnown =
    <T>(caller: Caller, attempt: () => Promise<T>) =>
    (): Promise<T> =>
      inTurn(`known:${addressOf(caller).name}`, attempt);

  return {
    secret: (caller, attempt) => checked([addressOf(caller)], caller, attempt),
    password: ({ caller, emailKey, device }, attempt) =>
      device === null
        ? inTurnChecked([addressOf(caller), accountOf(emailKey)], caller, attempt)
        : inTurnChecked([deviceOf(device)], caller, besideKnown(caller, attempt)),
    ownPassword: (caller, session, attempt) =>
      inTurnChecked([deviceOf(session)], caller, besideKnown(caller, attempt), [addressOf(caller)]),
    slow: (caller, work) => inTurn(`slow:${addressOf(caller).name}`, work),
    token: (caller, attempt) =>
      attempt().catch((error) => {
        if (!isGuess(error)) throw error;
        const from = caller();
        return failed([addressOf(from)], from, error);
      }),
  };
}

interface Line {
  running: number;
  /** One fewer for each that failed, until all are done: in its place there would be one guess more than the limit allows. */
  places: number;
  waiting: (() => void)[];
}

/** Whose turn comes later has gone: his password is not looked at any more. Milliseconds. */
const LONGEST_TURN_MS = 10_000;

/** At most `width` at once for one name; whoever comes later waits for his turn. */
function createTurns(width: number, clock: Pick<Clock, 'monotonic'>) {
  const lines = new Map<string, Line>();

  function letIn(line: Line): void {
    while (line.running < line.places) {
      const next = line.waiting.shift();
      if (next === undefined) return;
      line.running++;
      next();
    }
  }

  function leave(name: string, line: Line, hasFailed: boolean): void {
    line.running--;
    if (hasFailed) line.places--;
    if (line.running === 0) line.places = width;
    letIn(line);
    if (line.running === 0) lines.delete(name);
  }

  return async function inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const line = lines.get(name) ?? { running: 0, places: width, waiting: [] };
    lines.set(name, line);
    const came = clock.monotonic();
    await new Promise<void>((resolve) => {
      line.waiting.push(resolve);
      letIn(line);
    });
    if (clock.monotonic() - came > LONGEST_TURN_MS) {
      leave(name, line, false);
      throw new Refusal('overloaded');
    }
    let hasFailed = true;
    try {
      const result = await work();
      hasFailed = false;
      return result;
    } finally {
      leave(name, line, hasFailed);
    }
  };
}
