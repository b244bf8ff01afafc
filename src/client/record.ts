/** What is stored of a session, as one string, so that a token and its key are never stored apart. */
import type { Answer } from './http.js';

/** Why a session ended: `logout`, or the service's code. */
export type SessionEndReason =
  | 'logout'
  | 'invalid_refresh_token'
  | 'refresh_token_reused'
  | 'session_revoked'
  | 'session_expired'
  | 'account_disabled'
  /** The stored token was used by somebody who does not share this storage: a thief, or a copy of the device. */
  | 'refresh_superseded';

export interface Live {
  refreshToken: string;
  /**
   * The Idempotency-Key of this token's refresh. It is drawn and stored with the token, not when it is needed: so it is
   * there after a crash that lost what was stored last, and all who share the storage send the same.
   */
  key: string;
  accessToken: string;
  /** Milliseconds since the epoch, by this device's clock. */
  madeAt: number;
  renewAt: number;
  expiresAt: number;
}

/** A session that is over. The token is there while the service has not heard of it. */
export interface Ended {
  ended: SessionEndReason;
  refreshToken?: string;
}

export type Stored = Live | Ended;

export const isLive = (stored: Stored | null | undefined): stored is Live => stored != null && !('ended' in stored);

/** Over, and the service has not heard of it. */
export const isUntold = (stored: Stored | null): stored is Ended & { refreshToken: string } =>
  stored !== null && !isLive(stored) && stored.refreshToken !== undefined;

/** The same session at the same token, and over or not. */
export const isSame = (one: Stored | null, other: Stored): boolean =>
  one !== null && one.refreshToken === other.refreshToken && isLive(one) === isLive(other);

/** A token is renewed when a tenth of its life is left, at most a minute. */
const MARGIN_MS = 60_000;

/** A clock that was set back by more than the margin says nothing of a token's age. */
export const isFresh = ({ madeAt, renewAt }: Live, now: number): boolean => now < renewAt && now > madeAt - MARGIN_MS;

const KEY_BYTES = 16;

/** 128 random bits: nobody who has copied a token can guess the key of its refresh. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** `asked` is when the request was sent, so that the token is never taken for younger than it is. */
export function liveFrom({ body }: Answer, asked: number): Live {
  const lifetime = Number(body.expires_in) * 1000;
  const expiresAt = asked + lifetime;
  return {
    refreshToken: String(body.refresh_token),
    key: newKey(),
    accessToken: String(body.access_token),
    madeAt: asked,
    renewAt: expiresAt - Math.min(MARGIN_MS, lifetime / 10),
    expiresAt,
  };
}

/** What cannot be read counts as nothing stored. */
export function parseStored(text: string | null | undefined): Stored | null {
  try {
    const stored = JSON.parse(text ?? 'null');
    if (typeof stored?.ended === 'string') return stored;
    if (typeof stored?.refreshToken !== 'string' || typeof stored.key !== 'string') return null;
    // Of a session all that matters is there: a new access token can be had for it.
    return typeof stored.accessToken === 'string' ? stored : { ...stored, madeAt: 0, renewAt: 0, expiresAt: 0 };
  } catch {
    return null;
  }
}
