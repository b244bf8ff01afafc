import type { DeviceId } from '../domain/devices.js';
import type { Instant, SessionId, Sha256, UserId } from '../domain/types.js';

export interface Device {
  id: DeviceId;
  userId: UserId;
  secretHash: Sha256;
  /** The latest login on it: who ends that session from another device, or all of them, has the device forgotten. */
  sessionId: SessionId;
  expiresAt: Instant;
}

/** Devices that a user has logged in on. They go with the user. */
export interface DeviceStore {
  /** With the e-mail of the user as it is compared. */
  find(id: DeviceId): Promise<(Device & { emailKey: string }) | null>;
  /**
   * Stores the device, or its latest login, unless the session has been ended meanwhile. Of a user's devices those are
   * kept, at most 50, that were last used and have not expired.
   */
  remember(device: Device, at: Instant): Promise<void>;
}
