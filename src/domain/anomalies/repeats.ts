/** Most uses say what the one before said. They need not be scored: what is learned of them is learned once an hour. */
import type { Activity } from './activity.js';

const HOUR_MS = 3_600_000;
const hourOf = ({ at }: Activity) => Math.floor(at / HOUR_MS);

/** Whether `now` says nothing that `before`, the same session's last, did not say within the same hour of the clock. */
export function isRepeat(before: Activity, now: Activity): boolean {
  if (now.kind === 'login' || hourOf(before) !== hourOf(now)) return false;
  const [was, is] = [before.place, now.place];
  const isSamePlace = was?.country === is?.country && was?.city === is?.city;
  return isSamePlace && before.network === now.network && before.device === now.device && before.shape === now.shape;
}
