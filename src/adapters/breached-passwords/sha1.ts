import { createHash } from 'node:crypto';

/** As lists of breached passwords are kept: in capitals. SHA-1 protects nothing here, it is what the lists are sorted by. */
export const sha1 = (password: string): string =>
  createHash('sha1').update(password, 'utf8').digest('hex').toUpperCase();

/** The hash of a line `HASH:COUNT`, or of one without a count. Padding, which nobody has used as a password, has the count 0. */
export function hashIn(line: string): string | null {
  const match = /^([0-9A-Fa-f]+)(?::(\d+))?\r?$/.exec(line);
  return match === null || match[2] === '0' ? null : (match[1]?.toUpperCase() ?? null);
}
