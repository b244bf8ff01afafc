/** What a verifier is made with. A mistake is a TypeError at the start, not a refusal of everybody later. */
import { type Algorithm, supportedAlgorithms } from './token.js';

export interface VerifierOptions {
  /** The issuer of the tokens, to the letter, such as `https://auth.example.com`. `http:` is taken on loopback only. */
  issuer: string;
  /** What must be among the token's audiences: the name of your own service. */
  audience: string;
  /** Where the public keys are; `/.well-known/jwks.json` of the issuer by default. */
  jwksUri?: string;
  /** What the issuer signs with (its `SIGNING_ALG`); `["RS256"]` by default. */
  algorithms?: readonly Algorithm[];
  /** Seconds by which clocks may differ, for `exp`, `nbf` and `iat`; 5 by default. */
  clockTolerance?: number;
  /** Without it a revoked token is accepted until it expires. */
  revocation?: RevocationOptions;
  /** In place of the global one. */
  fetch?: typeof globalThis.fetch;
}

export interface RevocationOptions {
  follow: {
    /**
     * An access token of the same issuer with the scope `revocations:read`. Asked for whenever a connection is made. Who keeps
     * tokens must not give `refused` again, the last one that got a 401: it has been revoked, however long it says it is good.
     */
    token: (refused?: string) => Promise<string>;
  };
  /** Seconds for which what was heard last may be relied on; 10 by default. The feed says that it is alive every 2. */
  maxStaleness?: number;
  /** Whether tokens are refused with `revocation_unknown` past that, or let through; `"reject"` by default. */
  onUnknown?: 'reject' | 'allow';
  /** Hears of each failure of the feed: an Error whose message says what is wrong, and holds no token. */
  onProblem?: (error: Error) => void;
}

export interface Settings {
  issuer: string;
  audience: string;
  /** Without a slash at its end. */
  baseUrl: string;
  jwksUri: string;
  algorithms: readonly Algorithm[];
  clockTolerance: number;
  revocation: (Required<Omit<RevocationOptions, 'follow'>> & RevocationOptions['follow']) | null;
}

const DEFAULT_CLOCK_TOLERANCE_S = 5;
const DEFAULT_MAX_STALENESS_S = 10;

/** Throws TypeError. */
export function settingsOf(options: VerifierOptions): Settings {
  const { issuer, audience, algorithms = ['RS256'], clockTolerance = DEFAULT_CLOCK_TOLERANCE_S } = options;
  checkUrl('issuer', issuer);
  if (/[?#]/.test(issuer)) throw new TypeError('issuer: has a query or a fragment');
  const baseUrl = issuer.replace(/\/+$/, '');
  const { jwksUri = `${baseUrl}/.well-known/jwks.json` } = options;
  checkUrl('jwksUri', jwksUri);
  if (typeof audience !== 'string' || audience === '') throw new TypeError('audience: is missing');
  const unknown = algorithms.find((alg) => !supportedAlgorithms.includes(alg));
  if (unknown !== undefined || algorithms.length === 0)
    throw new TypeError(`algorithms: may be ${supportedAlgorithms.join(', ')}`);
  if (!(clockTolerance >= 0 && clockTolerance < Number.POSITIVE_INFINITY))
    throw new TypeError('clockTolerance: is no number of seconds');
  const revocation = options.revocation === undefined ? null : revocationOf(options.revocation);
  return { issuer, audience, baseUrl, jwksUri, algorithms: [...algorithms], clockTolerance, revocation };
}

function revocationOf(options: RevocationOptions): Settings['revocation'] {
  const { follow, maxStaleness = DEFAULT_MAX_STALENESS_S, onUnknown = 'reject', onProblem = () => {} } = options;
  if (typeof follow?.token !== 'function') throw new TypeError('revocation.follow.token: is no function');
  if (!(maxStaleness > 0 && maxStaleness < Number.POSITIVE_INFINITY))
    throw new TypeError('revocation.maxStaleness: is no number of seconds');
  if (onUnknown !== 'reject' && onUnknown !== 'allow')
    throw new TypeError('revocation.onUnknown: may be reject or allow');
  return { token: follow.token, maxStaleness, onUnknown, onProblem };
}

const isLoopback = ({ hostname }: URL): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);

function checkUrl(name: string, value: string): void {
  if (typeof value !== 'string' || !URL.canParse(value)) throw new TypeError(`${name}: is no URL`);
  const url = new URL(value);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url)))
    throw new TypeError(`${name}: must be https:, or http: on loopback`);
  if (url.username !== '' || url.password !== '') throw new TypeError(`${name}: has a user or a password in it`);
}
