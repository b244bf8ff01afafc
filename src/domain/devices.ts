/**
 * Devices on which somebody has logged in to an account: `ktd_` + base64url(id 16 | secret 32). Whoever has the token of
 * one is counted apart when he gives a wrong password, and gains nothing else by it. Of the secret its hash is stored, so
 * that the database alone yields no token.
 */
import { timingSafeEqual } from 'node:crypto';
import { parse as uuidBytes, stringify as uuidString } from 'uuid';
import type { Clock } from '../ports/clock.js';
import type { DeviceStore } from '../ports/device-store.js';
import type { Random } from '../ports/random.js';
import { fromBase64url, toBase64url } from './base64url.js';
import type { Email } from './email.js';
import type { Ids } from './ids.js';
import { sha256 } from './refresh-token.js';
import { later, type SessionId, type UserId } from './types.js';

/** Lets secret scanners find tokens that were leaked into code or logs. */
export const DEVICE_TOKEN_PREFIX = 'ktd_';
const ID_BYTES = 16;
const SECRET_BYTES = 32;
/** From the last login on the device. Seconds. */
const YEAR_S = 365 * 86_400;

/** UUIDv7. */
export type DeviceId = string & { readonly device: unique symbol };

export interface KnownDevice {
  id: DeviceId;
  secret: Uint8Array;
}

export interface Devices {
  /** Null for anything but a good token of a device on which somebody has logged in to this account. */
  recognise(token: string | undefined, email: Email): Promise<KnownDevice | null>;
  /** After a login, from which on the device is known for another year. Resolves to its token: the same as before, if it was known. */
  remember(device: KnownDevice | null, userId: UserId, sessionId: SessionId): Promise<string>;
}

export interface DevicesParts {
  store: DeviceStore;
  clock: Clock;
  random: Random;
  ids: Ids;
}

export function createDevices({ store, clock, random, ids }: DevicesParts): Devices {
  return {
    async recognise(token, email) {
      const device = token === undefined ? null : parseDeviceToken(token);
      if (device === null) return null;
      const stored = await store.find(device.id);
      const isGood =
        stored !== null &&
        timingSafeEqual(sha256(device.secret), stored.secretHash) &&
        stored.emailKey === email.key &&
        clock.now() < stored.expiresAt;
      return isGood ? device : null;
    },
    async remember(known, userId, sessionId) {
      const device = known ?? { id: ids.uuid() as DeviceId, secret: random.bytes(SECRET_BYTES) };
      const at = clock.now();
      const secretHash = sha256(device.secret);
      await store.remember({ id: device.id, userId, secretHash, sessionId, expiresAt: later(at, YEAR_S) }, at);
      return formatDeviceToken(device);
    },
  };
}

const formatDeviceToken = ({ id, secret }: KnownDevice): string =>
  DEVICE_TOKEN_PREFIX + toBase64url(Buffer.concat([uuidBytes(id), secret]));

function parseDeviceToken(text: string): KnownDevice | null {
  if (!text.startsWith(DEVICE_TOKEN_PREFIX)) return null;
  const bytes = fromBase64url(text.slice(DEVICE_TOKEN_PREFIX.length));
  if (bytes === null || bytes.length !== ID_BYTES + SECRET_BYTES) return null;
  try {
    return { id: uuidString(bytes.subarray(0, ID_BYTES)) as DeviceId, secret: bytes.subarray(ID_BYTES) };
  } catch {
    return null;
  }
}
