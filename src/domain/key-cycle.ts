/**
 * The life of signing keys as pure functions of (key set, instant, settings):
 *
 *     pending ──promote──▶ active ──▶ retiring ──▶ retired
 *        └──────────── revoke (compromised) ◀──────────┘
 *
 * A decision says which rows are to be put in the place of what was seen, in which order, and what the audit trail is
 * told. Nothing here stores anything: see signing-keys.ts.
 */
import type { SigningKeyRow } from '../ports/signing-key-store.js';
import { Refusal } from './errors.js';
import type { SealedKey } from './key-vault.js';
import { type AuditEvent, type Instant, later, type SigningAlg } from './types.js';

const DAY_S = 86_400;
/** Verifiers forgive clocks that are off by as much, seconds. */
export const VERIFIERS_TOLERANCE_S = 60;

export interface CycleSettings {
  /** The algorithm that tokens are to be signed with. */
  alg: SigningAlg;
  /** Age at which the signing key is rotated, days; 0: only when somebody asks. */
  rotationDays: number;
  /** `max-age` of the JWKS, seconds (M in the design). */
  maxAge: number;
}

export interface KeySet {
  /** Every key that there ever was, the oldest first. */
  keys: readonly SigningKeyRow[];
  /** Keys whose private part exists and cannot be used by this node, by kid. */
  unusable: ReadonlySet<string>;
  /** The longest life that a client's access tokens have now, seconds (L in the design). */
  longestTokenTtl: number;
  /** By the store's clock, as all that is decided. */
  now: Instant;
}

export interface KeyEvent {
  event: Extract<AuditEvent['event'], `signing_key.${string}`>;
  kid: string;
  alg: SigningAlg;
  details?: Record<string, unknown>;
}

export interface Change {
  /** In the order in which they are stored: a key stops being active before the next one becomes it. */
  put: readonly SigningKeyRow[];
  events: readonly KeyEvent[];
}

export interface Decision extends Change {
  outcome: 'done' | 'scheduled' | 'already';
  /** When it will happen by itself, or has happened. */
  at: Instant | null;
}

/** Nothing can be decided without a new key pair; making one takes too long to do so before it is known. */
export const NEEDS_KEY = 'needs_key';

/** Every verifier that keeps to the JWKS's `max-age` has seen the key by then, and every node has for longer. */
const seenByAll = (key: SigningKeyRow, { maxAge }: CycleSettings): Instant => later(key.publishedAt, 2 * maxAge);

/**
 * A node whose view of the keys is up to 2 M old may still sign with a key that is retiring; the last of these tokens
 * then lives for L.
 */
const lastSignature = (at: Instant, { maxAge }: CycleSettings): Instant => later(at, 2 * maxAge);
export const retiresAt = ({ retiringAt, longestTokenTtl }: SigningKeyRow, settings: CycleSettings): Instant | null =>
  retiringAt && later(lastSignature(retiringAt, settings), longestTokenTtl + VERIFIERS_TOLERANCE_S);

const withoutPrivatePart = { sealedPrivate: null, kekId: null, promoteAt: null };

/** Pending keys: those that this node could sign with, the longest published first, and then the others. */
const successors = ({ keys, unusable }: KeySet, alg: SigningAlg): SigningKeyRow[] =>
  keys
    .filter((key) => key.state === 'pending' && key.alg === alg)
    .sort((a, b) => Number(unusable.has(a.kid)) - Number(unusable.has(b.kid)) || a.publishedAt - b.publishedAt);

const activeKeys = ({ keys }: KeySet): SigningKeyRow[] => keys.filter(({ state }) => state === 'active');

/** The next promotion that will happen by itself. */
export function plan(set: KeySet, settings: CycleSettings): { key: SigningKeyRow; at: Instant } | null {
  const [first, ...others] = successors(set, settings.alg).filter(({ kid }) => !set.unusable.has(kid));
  if (first === undefined) return null;
  const asked = [first, ...others].find(({ promoteAt }) => promoteAt !== null);
  if (asked !== undefined) return { key: asked, at: seenByAll(asked, settings) };
  // A key that cannot be opened is a matter for somebody who knows why: no other one quietly takes its place.
  if (set.unusable.size > 0) return null;
  const current = activeKeys(set).find(({ alg }) => alg === settings.alg);
  // Another algorithm was configured, which is a rotation like any other; or nothing signs at all.
  if (current === undefined) return { key: first, at: seenByAll(first, settings) };
  if (settings.rotationDays === 0) return null;
  const age = later(current.activatedAt ?? current.publishedAt, settings.rotationDays * DAY_S);
  return { key: first, at: Math.max(age, seenByAll(first, settings)) as Instant };
}

/** What becomes of a key by itself, and when; null where nothing is planned. */
export function nextOf(
  key: SigningKeyRow,
  set: KeySet,
  settings: CycleSettings,
): { state: SigningKeyRow['state']; at: Instant } | null {
  const planned = plan(set, settings);
  if (key.state === 'active') return planned && { state: 'retiring', at: planned.at };
  if (key.state === 'pending') return planned?.key.kid === key.kid ? { state: 'active', at: planned.at } : null;
  const at = key.state === 'retiring' ? retiresAt(key, settings) : null;
  return at && { state: 'retired', at };
}

function promotion(set: KeySet, key: SigningKeyRow, at: Instant): Change {
  const replaced = activeKeys(set).map((active) => ({
    ...active,
    ...withoutPrivatePart,
    state: 'retiring' as const,
    retiringAt: at,
    longestTokenTtl: Math.max(active.longestTokenTtl, set.longestTokenTtl),
  }));
  const promoted: SigningKeyRow = { ...key, state: 'active', activatedAt: at, promoteAt: null };
  const { kid, alg } = key;
  const details = { replaces: replaced.map((old) => old.kid) };
  return { put: [...replaced, promoted], events: [{ event: 'signing_key.promoted', kid, alg, details }] };
}

/** What happens by itself, and is due. */
export function due(set: KeySet, at: Instant, settings: CycleSettings): Change {
  const retired = set.keys
    .filter((key) => key.state === 'retiring' && at >= (retiresAt(key, settings) ?? Number.POSITIVE_INFINITY))
    .map((key) => ({ ...key, state: 'retired' as const, retiredAt: at }));
  const planned = plan(set, settings);
  const promoted = planned !== null && planned.at <= at ? promotion(set, planned.key, at) : { put: [], events: [] };
  const moved = new Set([...retired, ...promoted.put].map(({ kid }) => kid));
  // Noted as long as the key may sign, since a client's setting may be lowered before the tokens are gone. One that is
  // raised and lowered again between two looks is missed.
  const noted = set.keys
    .filter((key) => !moved.has(key.kid) && key.longestTokenTtl < set.longestTokenTtl && maySign(key, at, settings))
    .map((key) => ({ ...key, longestTokenTtl: set.longestTokenTtl }));
  const events = retired.map(({ kid, alg }) => ({ event: 'signing_key.retired' as const, kid, alg }));
  return { put: [...retired, ...promoted.put, ...noted], events: [...events, ...promoted.events] };
}

const maySign = ({ state, retiringAt }: SigningKeyRow, at: Instant, settings: CycleSettings): boolean =>
  state === 'active' || (state === 'retiring' && retiringAt !== null && at <= lastSignature(retiringAt, settings));

/** Whether a pending key is to be made: one is always kept ready, so that even an emergency finds one that was seen. */
export const lacksPending = ({ keys, unusable }: KeySet, { alg }: CycleSettings): boolean =>
  unusable.size === 0 && !keys.some((key) => key.state === 'pending' && key.alg === alg);

function rowOf(key: SealedKey, at: Instant): SigningKeyRow {
  const never = { activatedAt: null, retiringAt: null, retiredAt: null, revokedAt: null, promoteAt: null };
  return { ...key, ...never, state: 'pending', createdAt: at, publishedAt: at, longestTokenTtl: 0 };
}

const made = ({ kid, alg, kekId: kek }: SealedKey): KeyEvent => ({
  event: 'signing_key.created',
  kid,
  alg,
  details: { kek },
});

/** Where nothing signs, to wait for verifiers would be an outage for all of them. */
export function publish(set: KeySet, key: SealedKey, at: Instant): Change {
  const row = activeKeys(set).length === 0 ? first(key, at).row : rowOf(key, at);
  return { put: [row], events: [made(key)] };
}

/** The first key of all: nobody has seen another one yet, so it may sign at once. */
export const first = (key: SealedKey, at: Instant): { row: SigningKeyRow; event: KeyEvent } => ({
  row: { ...rowOf(key, at), state: 'active', activatedAt: at },
  event: made(key),
});

const nothing = { put: [], events: [] };
const already = (at: Instant | null): Decision => ({ ...nothing, outcome: 'already', at });

/** Promotes the key, or notes that somebody wants it to be promoted as soon as it may. */
function ask(set: KeySet, key: SigningKeyRow, at: Instant, settings: CycleSettings): Decision {
  const from = seenByAll(key, settings);
  if (from <= at) return { ...promotion(set, key, at), outcome: 'done', at };
  if (key.promoteAt !== null) return already(from);
  const { kid, alg } = key;
  const event: KeyEvent = { event: 'signing_key.rotation_scheduled', kid, alg, details: { at: timeOf(from) } };
  return { put: [{ ...key, promoteAt: at }], events: [event], outcome: 'scheduled', at: from };
}

const timeOf = (at: Instant): string => new Date(at).toISOString();

/**
 * Whoever cannot open every key may have been given other KEKs than the nodes, or no device: a key that was made there
 * might be of no use to anybody else.
 */
function ensureAllOpen({ keys, unusable }: KeySet): void {
  const closed = keys.find(({ kid }) => unusable.has(kid));
  if (closed !== undefined) throw cannotOpen(closed);
}

const cannotOpen = ({ kid, kekId }: SigningKeyRow) =>
  new Refusal('key_unusable', {
    detail: `The key ${kid} cannot be opened here with the KEK ${kekId}: give this process the KEYS_DIR and the PKCS11_* of the service; if the key is lost for good, revoke it as compromised`,
  });

/** Throws `key_unusable`. */
export function rotate(
  set: KeySet,
  at: Instant,
  settings: CycleSettings,
  fresh: SealedKey | null,
): Decision | typeof NEEDS_KEY {
  ensureAllOpen(set);
  const candidates = successors(set, settings.alg);
  const asked = candidates.find(({ promoteAt }) => promoteAt !== null);
  if (asked !== undefined) return ask(set, asked, at, settings);
  // Of several who ask at the same moment one wins. Whoever comes a little later asked for the same.
  const rotated = lastRotation(set);
  if (rotated !== null && at < later(rotated, 2 * settings.maxAge)) return already(rotated);
  if (candidates[0] !== undefined) return ask(set, candidates[0], at, settings);
  if (fresh === null) return NEEDS_KEY;
  const asking = ask(set, rowOf(fresh, at), at, settings);
  return { ...asking, events: [made(fresh), ...asking.events] };
}

/** When the signing key took the place of another one; null where it did not, as the first one. */
function lastRotation(set: KeySet): Instant | null {
  const since = activeKeys(set)[0]?.activatedAt ?? null;
  return set.keys.some(({ retiringAt }) => retiringAt === since) ? since : null;
}

function find(set: KeySet, kid: string): SigningKeyRow {
  const key = set.keys.find((candidate) => candidate.kid === kid);
  if (key === undefined) throw new Refusal('key_not_found', { detail: `There is no signing key ${kid}` });
  return key;
}

const conflict = (detail: string) => new Refusal('key_state_conflict', { detail });

/** Throws `key_not_found`, `key_state_conflict`, `key_unusable`. */
export function promote(set: KeySet, kid: string, at: Instant, settings: CycleSettings): Decision {
  const key = find(set, kid);
  if (key.state === 'active') return already(key.activatedAt);
  if (key.state !== 'pending') throw conflict(`The key is ${key.state}: only a pending one can be promoted`);
  // The other one would take its place again at once.
  if (key.alg !== settings.alg) throw conflict(`The key is for ${key.alg}, and SIGNING_ALG is ${settings.alg}`);
  if (set.unusable.has(kid)) throw cannotOpen(key);
  return ask(set, key, at, settings);
}

/**
 * Throws `key_not_found`, `key_state_conflict`. Tokens of a revoked key stop working at once, with `unknown_key`; if
 * its successor has not been seen by all verifiers yet, so do new ones for those that do not look again for an unknown
 * key. That is the price of the emergency, and better than a leaked key. It waits for nothing: where no key is pending,
 * none signs until one has been made.
 */
export function revoke(set: KeySet, kid: string, compromised: boolean, at: Instant, settings: CycleSettings): Decision {
  const key = find(set, kid);
  if (key.state === 'retired' || key.state === 'revoked') return already(key.revokedAt ?? key.retiredAt);
  if (key.state === 'active' && !compromised) {
    throw conflict('The key signs. Rotate, and it retires by itself; if it has leaked, revoke it as compromised');
  }
  // Tokens of it are still good, and it will be gone when the last of them is.
  if (key.state === 'retiring' && !compromised)
    return { ...nothing, outcome: 'scheduled', at: retiresAt(key, settings) };
  const revoked: SigningKeyRow = { ...key, ...withoutPrivatePart, state: 'revoked', revokedAt: at };
  const event: KeyEvent = { event: 'signing_key.revoked', kid, alg: key.alg, details: { was: key.state, compromised } };
  const done = { outcome: 'done' as const, at };
  const rest = { ...set, keys: set.keys.filter((other) => other.kid !== kid) };
  if (key.state !== 'active' || activeKeys(rest).length > 0) return { ...done, put: [revoked], events: [event] };
  // What cannot be opened here may well be opened by the nodes, and verifiers have seen it.
  const [successor] = successors(rest, settings.alg);
  if (successor === undefined) return { ...done, put: [revoked], events: [event] };
  const { put, events } = promotion(rest, successor, at);
  return { ...done, put: [revoked, ...put], events: [event, ...events] };
}

/** A key that was made elsewhere is published as a pending one. Throws `key_state_conflict`, `key_unusable`. */
export function adopt(set: KeySet, key: SealedKey, at: Instant): Decision {
  const known = set.keys.find(({ kid }) => kid === key.kid);
  if (known?.state === 'pending' || known?.state === 'active') return already(known.createdAt);
  if (known !== undefined) throw conflict(`The key is here already, and is ${known.state}: it cannot sign again`);
  ensureAllOpen(set);
  const { kid, alg, kekId: kek } = key;
  const event: KeyEvent = { event: 'signing_key.imported', kid, alg, details: { kek } };
  return { put: [rowOf(key, at)], events: [event], outcome: 'done', at };
}
