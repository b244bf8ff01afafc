/**
 * How the values of the configuration's variables are read: each function takes the text and gives the value, or throws
 * a string that says what is expected. That string never holds the text, which may be a secret.
 */
import ipaddr from 'ipaddr.js';
import { parseRedisUrl } from './adapters/redis/url.js';

const expected = (what: string): never => {
  throw what;
};

export const text = (value: string): string => value;

export const integer = (min: number, max: number) => (value: string) => {
  const n = /^\d{1,12}$/.test(value) ? Number(value) : Number.NaN;
  return n >= min && n <= max ? n : expected(`a whole number from ${min} to ${max}`);
};

export const oneOf =
  <T extends string>(...values: readonly T[]) =>
  (value: string): T =>
    values.find((candidate) => candidate === value) ?? expected(`one of ${values.join(', ')}`);

export const boolean = (value: string): boolean => oneOf('true', 'false')(value) === 'true';

const unitSeconds: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400 };
/** Ten years; longer ones are mistakes. */
const MAX_DURATION_S = 3650 * 86_400;

/** Seconds. */
export const duration = (value: string): number => {
  const match = /^(\d{1,10})([smhd]?)$/.exec(value);
  const secs = match ? Number(match[1]) * (unitSeconds[match[2] ?? ''] ?? Number.NaN) : Number.NaN;
  return secs <= MAX_DURATION_S ? secs : expected('seconds, or a number with s, m, h or d, up to 3650d');
};

/** Seconds. A number alone is of days: read as seconds it would throw away what it is meant to keep. */
export const retention = (value: string): number => {
  try {
    return duration(/^\d+$/.test(value) ? `${value}d` : value);
  } catch {
    return expected('days, or a number with s, m, h or d, up to 3650d');
  }
};

export const list = (item: (value: string) => string) => (value: string) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map(item);

export const urlWith =
  (what: string, ...protocols: string[]) =>
  (value: string) => {
    const url = URL.canParse(value) ? new URL(value) : null;
    return url && protocols.includes(url.protocol) ? value : expected(what);
  };

export const redisUrl = (value: string): string =>
  parseRedisUrl(value) === null
    ? expected(
        'redis://host:port/db, redis+sentinel://host:port,…/master or redis+cluster://host:port,… (rediss for TLS)',
      )
    : value;

/** `options` would take the place of those that every connection of the service has. */
export const postgresUrl = (value: string): string => {
  const what = 'a postgres:// or postgresql:// URL without the parameter options';
  const url = urlWith(what, 'postgres:', 'postgresql:')(value);
  return new URL(url).searchParams.has('options') ? expected(what) : url;
};

export const issuer = (value: string): string => {
  const url = URL.canParse(value) ? new URL(value) : null;
  const ok =
    url && /^https?:$/.test(url.protocol) && !/[?#\s]|\/$/.test(value) && url.username === '' && url.password === '';
  return ok ? value : expected('an http(s) URL without query, fragment, credentials or a slash at its end');
};

export const origin = (value: string): string => {
  const url = URL.canParse(value) ? new URL(value) : null;
  return url && /^https?:$/.test(url.protocol) && url.origin === value
    ? value
    : expected('origins such as https://app.example.com, comma-separated, no wildcard');
};

/** What is asked there must be seen by nobody on the way. */
export const rangeUrl = (value: string): string => {
  const url = URL.canParse(value) ? new URL(value) : null;
  const isNear = url?.protocol === 'http:' && /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(url.hostname);
  const ok =
    url &&
    (url.protocol === 'https:' || isNear) &&
    url.username === '' &&
    url.password === '' &&
    !/[?#\s]|\/$/.test(value);
  return ok ? value : expected('an https: URL (http: on loopback) without query or a slash at its end');
};

export const network = (value: string): string =>
  ipaddr.isValid(value) || ipaddr.isValidCIDR(value)
    ? value
    : expected('addresses and networks such as 10.0.0.0/8, comma-separated');

/** Headers that mean something else to somebody on the way have neither in their names; `X-Auth-…` is a gateway's. */
export const headerName = (value: string): string =>
  /^(?=.*(jwt|token))(?!x-auth-)[a-z][a-z0-9-]{0,63}$/i.test(value)
    ? value.toLowerCase()
    : expected('a header name of letters, digits and dashes with jwt or token in it');

export const audience = (value: string): string =>
  /^[\x21-\x7e]{1,256}$/.test(value) ? value : expected('1 to 256 visible ASCII characters');

/** A service that listens on all addresses is reached from this machine by loopback. */
export function listeningAddress(host: string, port: number): string {
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`;
}
