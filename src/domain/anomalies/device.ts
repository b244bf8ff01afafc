/** Is this a device of the user? Within a session it has to be the very one; at a login it may be new. */
import type { Activity } from './activity.js';
import { DEVICE_CHANGED, KNOWN_DEVICE, NEW_DEVICE, weigh } from './model.js';
import { type Profile, shortened } from './profile.js';

export interface Device {
  seen: 'same' | 'changed' | 'new' | 'known' | null;
  weight: number;
  why(): string;
}

const nothing = () => '';

export function device(profile: Profile, activity: Activity): Device {
  if (activity.device === null) return { seen: null, weight: 0, why: nothing };
  const name = shortened(activity.device);
  const trace = profile.sessions.find(({ session }) => session === activity.sessionId);
  if (trace !== undefined && trace.device !== null) {
    const before = trace.device;
    const changed = before !== name;
    const weight = weigh(DEVICE_CHANGED, changed, profile.changedDevices, profile.visits);
    return { seen: changed ? 'changed' : 'same', weight, why: () => `${name}, in a session of ${before}` };
  }
  const isNew = !profile.devices.some((habit) => habit.name === name);
  if (activity.kind === 'login' && activity.knownDevice) {
    return { seen: 'known', weight: Math.log10(KNOWN_DEVICE.attack / KNOWN_DEVICE.users), why: nothing };
  }
  const weight = weigh(NEW_DEVICE, isNew, profile.newDevices, profile.logins);
  return { seen: isNew ? 'new' : 'known', weight, why: () => `${name}, in none of the user's sessions before` };
}
