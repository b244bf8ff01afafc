import { v7 } from 'uuid';
import type { Clock } from '../ports/clock.js';
import type { Random } from '../ports/random.js';
import { toBase64url } from './base64url.js';

const JTI_BYTES = 16;
const UUID_RANDOM_BYTES = 16;

/** Identifiers that are drawn, not derived. */
export interface Ids {
  /** UUIDv7 (RFC 9562 §5.7): sorts by time, so that indexes grow at one end. */
  uuid(): string;
  jti(): string;
}

export const createIds = (clock: Clock, random: Random): Ids => ({
  uuid: () => v7({ msecs: clock.now(), random: random.bytes(UUID_RANDOM_BYTES) }),
  jti: () => toBase64url(random.bytes(JTI_BYTES)),
});
