/**
 * What can be revoked, and which tokens that concerns: pure. A rule says of one token (`jti`) or one session (`sid`) that
 * it is over, or of a user (`sub`), a client or everybody that what was issued before an instant is.
 */
import { type Instant, seconds } from './types.js';

export type RevocationKind = 'jti' | 'sid' | 'sub' | 'client' | 'all';
export const revocationKinds: readonly RevocationKind[] = ['jti', 'sid', 'sub', 'client', 'all'];

export interface Revocation {
  /** Ascending in the order of the commits: whoever has seen it will find no smaller one afterwards. */
  id: number;
  kind: RevocationKind;
  /** Empty for `all`. */
  value: string;
  /** A whole second: tokens whose `iat` is before it are refused. Null for `jti` and `sid`. */
  notBefore: Instant | null;
  revokedAt: Instant;
  /** When the last token it can concern has expired. */
  expiresAt: Instant;
}

/** What of a token revocation looks at. */
export interface Revocable {
  jti: string;
  sid: string | null;
  sub: string;
  clientId: string | null;
  /** Seconds since the epoch. */
  iat: number;
}

/** The kind and value of every rule that could concern the token. */
export function rulesFor({ jti, sid, sub, clientId }: Revocable): [RevocationKind, string][] {
  const rules: [RevocationKind, string][] = [
    ['jti', jti],
    ['sub', sub],
    ['all', ''],
  ];
  if (sid !== null) rules.push(['sid', sid]);
  if (clientId !== null) rules.push(['client', clientId]);
  return rules;
}

/** Seconds since the epoch; what is revoked as such is revoked whenever it was issued. */
export const notBeforeSeconds = ({ notBefore }: Pick<Revocation, 'notBefore'>): number =>
  notBefore === null ? Number.POSITIVE_INFINITY : seconds(notBefore);

interface Rule {
  /** Seconds since the epoch. */
  notBefore: number;
  expiresAt: Instant;
}

const NO_RULE = { notBefore: Number.NEGATIVE_INFINITY };

/** Rules that end within the same minute are forgotten together, without looking at the others. */
const BUCKET_MS = 60_000;

/** The live rules, in memory. A rule never moves backwards: of two, the later instant and the later end hold. */
export class RevocationSet {
  readonly #rules = new Map<string, Rule>();
  readonly #ending = new Map<number, string[]>();

  get size(): number {
    return this.#rules.size;
  }

  add(revocation: Revocation): void {
    const key = keyOf(revocation.kind, revocation.value);
    const known = this.#rules.get(key);
    const notBefore = Math.max(notBeforeSeconds(revocation), known?.notBefore ?? 0);
    const expiresAt = Math.max(revocation.expiresAt, known?.expiresAt ?? 0) as Instant;
    this.#rules.set(key, { notBefore, expiresAt });
    if (expiresAt === known?.expiresAt) return;
    const bucket = Math.floor(expiresAt / BUCKET_MS);
    const keys = this.#ending.get(bucket);
    if (keys === undefined) this.#ending.set(bucket, [key]);
    else keys.push(key);
  }

  /**
   * `at`, seconds since the epoch, leaves out instants that are still to come: until then nobody gets a token that is good.
   */
  covers(token: Revocable, at = Number.POSITIVE_INFINITY): boolean {
    return rulesFor(token).some(([kind, value]) => {
      const { notBefore } = this.#rules.get(keyOf(kind, value)) ?? NO_RULE;
      return token.iat < notBefore && (at >= notBefore || notBefore === Number.POSITIVE_INFINITY);
    });
  }

  /** Takes away what has ended: no token that it concerns is good any more. */
  forget(at: Instant): void {
    const current = Math.floor(at / BUCKET_MS);
    for (const [bucket, keys] of this.#ending) {
      if (bucket >= current) continue;
      this.#ending.delete(bucket);
      // One that has been prolonged since is in a later bucket too.
      for (const key of keys) if ((this.#rules.get(key)?.expiresAt ?? at) < at) this.#rules.delete(key);
    }
  }
}

export const keyOf = (kind: RevocationKind, value: string): string => `${kind}:${value}`;
