/** What makes a password acceptable (NIST SP 800-63B §5.1.1.2, OWASP ASVS 5.0 V6.2). No rules of composition. */

import type { BreachedPasswords } from '../ports/breached-passwords.js';
import type { Email } from './email.js';
import { Refusal } from './errors.js';

export const MIN_PASSWORD_LENGTH = 8;
/** Characters after normalisation; longer ones only serve to keep the hash busy. */
export const MAX_PASSWORD_LENGTH = 128;
/** A local part shorter than this is found in too many good passwords. */
const MIN_TELLING_LOCAL_PART = 4;

export type PasswordProblem = 'too_short' | 'too_long' | 'too_common' | 'contains_email' | 'breached';

/** One password typed on two keyboards is one password: NFKC (NIST SP 800-63B §5.1.1.2, RFC 8265 §4). */
export const normalizePassword = (password: string): string => password.normalize('NFKC');

const lengthOf = (text: string): number => [...text].length;

/** Longer than any that was ever accepted: can't be right. */
export const isTooLong = (normalized: string): boolean => lengthOf(normalized) > MAX_PASSWORD_LENGTH;

/** Whether a password, in lower case, is one that everybody tries first. */
export type IsCommon = (lowerCase: string) => Promise<boolean>;

async function problemsOf(normalized: string, email: Email, isCommon: IsCommon): Promise<PasswordProblem[]> {
  const lowerCase = normalized.toLowerCase();
  const local = email.key.slice(0, email.key.lastIndexOf('@'));
  const reasons: PasswordProblem[] = [];
  if (lengthOf(normalized) < MIN_PASSWORD_LENGTH) reasons.push('too_short');
  if (isTooLong(normalized)) reasons.push('too_long');
  if (await isCommon(lowerCase)) reasons.push('too_common');
  const names = local.length >= MIN_TELLING_LOCAL_PART ? [email.key, local] : [email.key];
  if (names.some((name) => lowerCase.includes(name.normalize('NFKC')))) reasons.push('contains_email');
  return reasons;
}

/** Takes a password that somebody wants and gives its normalised form; rejects with `password_rejected` and all reasons. */
export type AcceptPassword = (password: string, email: Email) => Promise<string>;

export const createAcceptPassword =
  (isCommon: IsCommon, breached: BreachedPasswords): AcceptPassword =>
  async (password, email) => {
    const normalized = normalizePassword(password);
    const reasons = await problemsOf(normalized, email, isCommon);
    // Nobody else is asked about what is refused anyway.
    if (reasons.length === 0 && (await breached.has(normalized))) reasons.push('breached');
    if (reasons.length > 0) throw new Refusal('password_rejected', { extra: { reasons } });
    return normalized;
  };
