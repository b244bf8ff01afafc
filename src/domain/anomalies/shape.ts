/**
 * What an HTTP client sends by itself besides the user agent. Who copies a user agent into a script seldom copies all that
 * comes with it. Fixed sets alone, and no versions: whatever changes from one request of a client to the next is left out,
 * such as `cache-control` after a reload, and `priority`, which depends on the version of HTTP.
 */
import { createHash } from 'node:crypto';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Whether these are sent at all. */
const PRESENT = [
  'accept',
  'accept-encoding',
  'accept-language',
  'dnt',
  'origin',
  'sec-ch-ua',
  'sec-ch-ua-mobile',
  'sec-ch-ua-platform',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-gpc',
  'x-requested-with',
];
/** 48 bits: told apart within one session, by accident never the same. */
const CHARACTERS = 8;
const MOST_OF_A_VALUE = 100;

const textOf = (headers: Headers, name: string): string =>
  String(headers[name] ?? '')
    .slice(0, MOST_OF_A_VALUE)
    .toLowerCase();

/** `de-DE,de;q=0.9,en;q=0.8` → `de`: the rest changes with what else somebody reads. */
const primaryLanguage = (headers: Headers): string =>
  textOf(headers, 'accept-language').split(/[-,;]/)[0]?.trim() ?? '';

/** A hash, so that nothing of it can be read from what is stored. Names of headers are in lower case. */
export function shapeOf(headers: Headers): string {
  const sent = PRESENT.filter((name) => headers[name] !== undefined);
  const encodings = textOf(headers, 'accept-encoding').replaceAll(' ', '');
  const all = [sent.join(), encodings, primaryLanguage(headers)].join('\n');
  return createHash('sha256').update(all).digest('base64url').slice(0, CHARACTERS);
}
