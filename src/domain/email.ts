import { Refusal } from './errors.js';

/** RFC 5321 §4.5.3.1.3 leaves 254 characters for an address; RFC 5321 §4.5.3.1.1 leaves 64 for its local part. */
const MAX_LENGTH = 254;
const MAX_LOCAL_LENGTH = 64;

export interface Email {
  /** As typed, trimmed: what a person sees. */
  shown: string;
  /** NFC and lower case: what is compared. */
  key: string;
}

/** Takes what could be an address; whether it is one, only a mail to it can tell. */
export function parseEmail(text: string): Email {
  const shown = text.trim().normalize('NFC');
  const ok = /^[^\s@\p{C}]+@[^\s@\p{C}]+$/u.test(shown);
  if (!ok || shown.length > MAX_LENGTH || shown.indexOf('@') > MAX_LOCAL_LENGTH) {
    throw new Refusal('invalid_request', { detail: 'email: not an e-mail address' });
  }
  return { shown, key: shown.toLowerCase().normalize('NFC') };
}
