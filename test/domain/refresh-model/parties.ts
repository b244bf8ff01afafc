/** Who asks for tokens: clients that keep to the retry rule, a thief, and somebody who makes tokens up. */
import type { Session } from '../../../src/domain/types.js';
import type { MadeSession } from '../../support/sessions.js';
import { type TokenPart, tokenParts } from './schedule.js';
import { type Answer, isTemporary, type Request } from './service.js';

/** A rule of the client that a mutation breaks. */
export type ClientFault = 'draws a key for each attempt' | 'does not log out when it is superseded';

type Asks = Pick<Request, 'token' | 'key' | 'password'>;

/** What a client stores, as one record: a key belongs to the token it was drawn for, and goes with it. */
type Stored = Pick<Request, 'token' | 'key'>;

const mayTryAgain = (answer: Answer): boolean =>
  isTemporary(answer) ||
  (answer.token === null && ['idempotency_key_reused', 'password_required'].includes(answer.code));

/** What a client makes of an answer. */
export type Reaction = 'does not need it' | 'keeps it' | 'has to try again' | 'logs out' | 'is logged out';

export interface Client {
  name: string;
  session: Session;
  stored(): Stored;
  isLoggedIn(): boolean;
  /** What it sends, be it for the first time or again. */
  ask(): Asks;
  /** A bug, not the rule: the key of its last refresh with the new token. Null when it has none. */
  askWithOldKey(): Asks | null;
  take(request: Request, answer: Answer): Reaction;
}

export function createClient(
  number: number,
  { found, tokens }: MadeSession,
  { usesKeys, fault }: { usesKeys: boolean; fault: ClientFault | null },
): Client {
  let stored: Stored = { token: tokens[0] ?? '', key: null };
  /** Its user has been asked for it, and types it in. */
  let password = false;
  let lastKey: string | null = null;
  let keys = 0;
  let isLoggedIn = true;
  const draw = () => `key ${number}.${++keys}`;

  return {
    name: `client ${number}`,
    session: found.session,
    stored: () => stored,
    isLoggedIn: () => isLoggedIn,
    ask() {
      const needsKey = usesKeys && (stored.key === null || fault === 'draws a key for each attempt');
      if (needsKey) stored = { token: stored.token, key: draw() };
      return { ...stored, password };
    },
    askWithOldKey: () => (lastKey === null ? null : { token: stored.token, key: lastKey, password }),
    take({ token, key }, answer) {
      if (token !== stored.token) return 'does not need it';
      if (answer.token !== null) {
        lastKey = key;
        stored = { token: answer.token, key: null };
        password = false;
        return 'keeps it';
      }
      if (answer.code === 'password_required') password = true;
      if (mayTryAgain(answer)) return 'has to try again';
      if (answer.code === 'refresh_superseded') {
        // It still waits for the answer, so somebody else has got it, and has used it.
        if (fault === 'does not log out when it is superseded') return 'has to try again';
        isLoggedIn = false;
        return 'logs out';
      }
      isLoggedIn = false;
      return 'is logged out';
    },
  };
}

/** His own, for all that he sends with a key. */
const THIEFS_KEY = 'key of the thief';

export interface Thief {
  copies(client: Client): void;
  /** What he would send for his tokens, the newest first. */
  loot(withKey: boolean): (Asks & { session: Session })[];
  take(session: Session, answer: Answer): void;
}

export function createThief(): Thief {
  const loot: { token: string; session: Session }[] = [];
  const keep = (session: Session, token: string) => {
    if (!loot.some((one) => one.token === token)) loot.unshift({ session, token });
  };
  return {
    copies: (client) => keep(client.session, client.stored().token),
    loot: (withKey) => loot.map((one) => ({ ...one, key: withKey ? THIEFS_KEY : null, password: false })),
    take(session, answer) {
      if (answer.token !== null) keep(session, answer.token);
    },
  };
}

const PREFIX = 'ktr_';
/** Where the parts of a token begin. */
const OFFSETS: Record<TokenPart, number> = { session: 0, generation: 16, secret: 20, tag: 52 };
const ID_BYTES = 16;

/** The token with parts that it was never issued with. */
export function forge(token: string, parts: readonly TokenPart[], otherSession: string): string {
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url');
  for (const part of tokenParts.filter((part) => parts.includes(part))) {
    const last = OFFSETS[part] + (part === 'generation' ? 3 : 0);
    if (part === 'session') Buffer.from(otherSession.slice(PREFIX.length), 'base64url').copy(bytes, 0, 0, ID_BYTES);
    else bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);
  }
  return PREFIX + bytes.toString('base64url');
}
