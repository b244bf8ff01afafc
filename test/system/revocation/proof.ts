/**
 * Acknowledged means enforced: sessions are revoked in every way there is, on any of three nodes, and as soon as that is
 * acknowledged the others are asked for the token, while Redis and the nodes are hurt.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scope } from '../../support/scope.js';
import { type Chance, seeded } from '../../support/seeded.js';
import { PASSWORD, type Tokens } from '../../support/service.js';
import { type Node, startWorld, type Topology, type World } from './world.js';

export interface ProofSettings {
  topology: Topology;
  /** Revocations that are tried. */
  tries: number;
  /** It ends then, whatever has been tried. */
  seconds: number;
  seed: number;
  /** Of the database, which is empty but migrated. */
  database: string;
}

export interface ProofReport {
  settings: Omit<ProofSettings, 'database'>;
  tries: number;
  /** By the way of revoking; of the checks and the answers by their outcome. */
  acknowledged: Record<string, number>;
  unacknowledged: Record<string, number>;
  checksAfter: Record<string, number>;
  requestsAfter: Record<string, number>;
  /** Of tokens whose revocation was acknowledged some time before. */
  laterChecks: Record<string, number>;
  liveTokens: Record<string, number>;
  troubles: Record<string, number>;
  slowestMs: number;
  /** Tokens that were accepted after the acknowledgement, or refused as revoked without having been. */
  findings: string[];
}

/** Between two checks of tokens that were revoked before, on each node, milliseconds; and how many are kept for it. */
const LOOK_MS = 20;
const REMEMBERED = 30;
const PROGRESS_MS = 5_000;
const WORKERS = 10;
const TRIES_A_USER = 8;
/** From one trouble to the next, milliseconds. */
const PEACE_MS = [300, 2_500] as const;
const PATIENCE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 20_000;

const add = (counts: Record<string, number>, what: string) => {
  counts[what] = (counts[what] ?? 0) + 1;
};

interface Answer {
  outcome: string;
  body: unknown;
}

async function request(node: Node, method: string, path: string, body?: unknown, bearer?: string): Promise<Answer> {
  const response = await fetch(node.url + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const parsed = text === '' ? {} : JSON.parse(text);
  return { outcome: response.ok ? String(response.status) : `${response.status} ${parsed.code}`, body: parsed };
}

interface User {
  id: string;
  email: string;
  password: string;
}

/** Those that end the session of `tokens`, each with the outcome that acknowledges it. */
type Way = (node: Node, user: User, tokens: Tokens) => Promise<string>;

const acknowledgements = new Set(['204', 'done']);

const ways: Record<string, Way> = {
  logout: async (node, _user, { access_token }) =>
    (await request(node, 'POST', '/v1/logout', undefined, access_token)).outcome,
  'logout by refresh token': async (node, _user, { refresh_token }) =>
    (await request(node, 'POST', '/v1/logout', { refresh_token })).outcome,
  'end a session': async (node, _user, { session_id, access_token }) =>
    (await request(node, 'DELETE', `/v1/sessions/${session_id}`, undefined, access_token)).outcome,
  'end all sessions': async (node, _user, { access_token }) =>
    (await request(node, 'DELETE', '/v1/sessions?include_current=true', undefined, access_token)).outcome,
  'change the password': async (node, user) => {
    // From another device: the one that changes it goes on.
    const other = await login(node, user);
    if (other === null) return 'not tried';
    const next = `${PASSWORD} ${Math.random()}`;
    const change = { current_password: user.password, new_password: next };
    const { outcome } = await request(node, 'POST', '/v1/me/password', change, other.access_token);
    // It may have been changed and not be enforced yet.
    if (outcome === '204' || outcome === '503 revocation_pending') user.password = next;
    return outcome;
  },
  'disable the user': async (node, user) => node.ask({ what: 'disable', userId: user.id }),
  'delete the user': async (node, user) => node.ask({ what: 'delete', userId: user.id }),
  'reuse a refresh token': async (node, _user, { refresh_token }) => {
    const presented = () => request(node, 'POST', '/v1/refresh', { refresh_token });
    if ((await presented()).outcome !== '200') return 'not tried';
    const { outcome } = await presented();
    // Whoever presents it is refused, also while that is not enforced yet; whether it is, the node knows.
    return outcome === '401 refresh_token_reused' ? node.ask({ what: 'enforce' }) : outcome;
  },
};

async function login(node: Node, { email, password }: User): Promise<Tokens | null> {
  const { outcome, body } = await request(node, 'POST', '/v1/login', { email, password });
  return outcome === '200' ? (body as Tokens) : null;
}

async function register(node: Node, email: string): Promise<User> {
  const { outcome, body } = await request(node, 'POST', '/v1/users', { email, password: PASSWORD });
  if (outcome !== '201') throw new Error(`cannot register: ${outcome}`);
  return { id: (body as { id: string }).id, email, password: PASSWORD };
}

export interface Proof {
  world: World;
  /** With fewer tries and less time than was prepared for, where they are given. */
  run(
    less?: Partial<Pick<ProofSettings, 'tries' | 'seconds'>>,
    progress?: (text: string) => void,
  ): Promise<ProofReport>;
}

export async function prepare(t: Scope, settings: ProofSettings): Promise<Proof> {
  const { database, ...shown } = settings;
  const world = await startWorld(t, database, settings.topology, seeded(settings.seed));
  let runs = 0;
  return {
    world,
    run: (less = {}, progress = () => {}) => prove(world, { ...shown, ...less }, `run-${runs++}`, progress),
  };
}

async function prove(
  { nodes, troubles }: World,
  settings: ProofReport['settings'],
  name: string,
  progress: (text: string) => void,
): Promise<ProofReport> {
  const { tries, seconds, seed } = settings;
  const report: ProofReport = {
    settings,
    tries: 0,
    acknowledged: {},
    unacknowledged: {},
    checksAfter: {},
    requestsAfter: {},
    laterChecks: {},
    liveTokens: {},
    troubles: Object.fromEntries(Object.keys(troubles).map((name) => [name, 0])),
    slowestMs: 0,
    findings: [],
  };
  const deadline = Date.now() + seconds * 1000;
  // On a slow machine it takes longer until everything has happened.
  const isComplete = () => report.findings.length > 0 || missingFrom(report).length === 0;
  const goesOn = () => {
    const left = deadline - Date.now();
    return (left > 0 && report.tries < tries) || (left > -PATIENCE_MS && !isComplete());
  };
  const find = (what: string) => report.findings.push(`try ${report.tries}: ${what}`);
  const bystander = await register(nodes[0] as Node, `bystander-${name}@example.com`);
  const untouched = await login(nodes[0] as Node, bystander);
  if (untouched === null) throw new Error('cannot log in');

  let latest: { token: string; how: string }[] = [];

  /** Nobody has revoked these. */
  async function checkLive(node: Node, token: string): Promise<void> {
    const outcome = await node.ask({ what: 'check', token });
    add(report.liveTokens, outcome);
    if (outcome !== 'good' && outcome !== 'revocation_unknown') find(`a live token is ${outcome}`);
  }

  async function checkRevoked(node: Node, token: string, how: string): Promise<void> {
    const [check, me] = await Promise.all([
      node.ask({ what: 'check', token }),
      request(node, 'GET', '/v1/me', undefined, token).then(
        ({ outcome }) => outcome,
        () => 'no answer',
      ),
    ]);
    add(report.checksAfter, check);
    add(report.requestsAfter, me);
    if (check !== 'token_revoked' && check !== 'revocation_unknown') find(`${how}: the check said ${check}`);
    if (me === '200') find(`${how}: /v1/me accepted it`);
  }

  async function tryOnce(user: User, chance: Chance): Promise<void> {
    const tokens = await login(chance.pick(nodes), user);
    if (tokens === null) return;
    const { access_token: token } = tokens;
    await Promise.all([
      checkLive(chance.pick(nodes), token),
      checkLive(chance.pick(nodes), untouched?.access_token ?? ''),
    ]);
    const how = chance.pick(Object.keys(ways));
    const node = chance.pick(nodes);
    const begun = performance.now();
    const outcome = (await ways[how]?.(node, user, tokens)) ?? '';
    report.tries++;
    if (!acknowledgements.has(outcome)) return add(report.unacknowledged, outcome);
    report.slowestMs = Math.max(report.slowestMs, Math.round(performance.now() - begun));
    add(report.acknowledged, how);
    latest = [{ token, how }, ...latest].slice(0, REMEMBERED);
    // The others first: nothing but the acknowledgement has reached them through this process.
    const inOrder = [...nodes.filter((one) => one !== node), node];
    await Promise.all(inOrder.map((one) => checkRevoked(one, token, how)));
  }

  /** What a node missed while it was away, it does not accept when it is back either. */
  async function keepChecking(node: Node, chance: Chance): Promise<void> {
    while (goesOn()) {
      await sleep(LOOK_MS);
      if (latest.length === 0) continue;
      const { token, how } = chance.pick(latest);
      const outcome = await node.ask({ what: 'check', token });
      add(report.laterChecks, outcome);
      if (outcome !== 'token_revoked' && outcome !== 'revocation_unknown')
        find(`${how}, later: the check said ${outcome}`);
    }
  }

  async function keepTrying(worker: number): Promise<void> {
    const chance = seeded(seed + 1 + worker);
    for (let n = 0; goesOn(); n++) {
      const user = await register(chance.pick(nodes), `${name}-${worker}-${n}@example.com`);
      // A user who was disabled or deleted makes room for another.
      for (let i = 0; goesOn() && i < TRIES_A_USER; i++) await tryOnce(user, chance);
    }
  }

  async function keepHurting(): Promise<void> {
    const chance = seeded(seed);
    let left: string[] = [];
    while (goesOn()) {
      await sleep(chance.between(...PEACE_MS));
      // Each of them once before any comes again.
      if (left.length === 0) left = Object.keys(troubles);
      const which = chance.pick(left);
      left = left.filter((name) => name !== which);
      await troubles[which]?.();
      add(report.troubles, which);
    }
  }

  const ticker = setInterval(() => progress(`${report.tries} tries, ${report.findings.length} findings`), PROGRESS_MS);
  await Promise.all([
    keepHurting(),
    ...nodes.map((node, i) => keepChecking(node, seeded(seed + 100 + i))),
    ...Array.from({ length: WORKERS }, (_, i) => keepTrying(i)),
  ]).finally(() => clearInterval(ticker));
  return report;
}

/** What never happened: nothing is proved about it. */
export function missingFrom({ acknowledged, checksAfter, requestsAfter, liveTokens, troubles }: ProofReport): string[] {
  const { good = 0, revocation_unknown: unknown = 0 } = liveTokens;
  const happened: Record<string, boolean> = {
    'live tokens were accepted, most of the time': good > unknown,
    'a check was unknown': unknown + (checksAfter.revocation_unknown ?? 0) > 0,
    'a check refused': (checksAfter.token_revoked ?? 0) > 0,
    'a request was refused': (requestsAfter['401 token_revoked'] ?? 0) > 0,
    ...Object.fromEntries(Object.keys(ways).map((how) => [how, (acknowledged[how] ?? 0) > 0])),
    ...Object.fromEntries(Object.entries(troubles).map(([name, times]) => [name, times > 0])),
  };
  return Object.entries(happened)
    .filter(([, so]) => !so)
    .map(([what]) => what);
}
