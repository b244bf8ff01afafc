/** Revocations made by hand, and tokens that they concern or do not. */
import type { Revocable, Revocation, RevocationKind } from '../../src/domain/revocation.js';
import { type Instant, instant, later } from '../../src/domain/types.js';

const HOUR_S = 3600;

/** A rule from `revokedAt`, or from now, which lasts an hour unless told otherwise. */
export function revocation(
  id: number,
  kind: RevocationKind,
  value: string,
  more: Partial<Revocation> = {},
): Revocation {
  const revokedAt: Instant = more.revokedAt ?? instant(Date.now());
  const isInstant = kind !== 'jti' && kind !== 'sid';
  // The next whole second: what was issued in this one is revoked too.
  const notBefore = isInstant ? instant((Math.floor(revokedAt / 1000) + 1) * 1000) : null;
  return { id, kind, value, notBefore, revokedAt, expiresAt: later(revokedAt, HOUR_S), ...more };
}

export const token = (more: Partial<Revocable> = {}): Revocable => ({
  jti: 'a jti',
  sid: 'a session',
  sub: 'a user',
  clientId: 'a client',
  iat: Math.floor(Date.now() / 1000) - 10,
  ...more,
});
