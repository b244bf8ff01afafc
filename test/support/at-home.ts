/** Somebody who has used Keyturn from Berlin for weeks, and a copy of the session in Sydney. */
import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { createDetectionStore } from '../../src/adapters/postgres/detection-store.js';
import type { Policy } from '../../src/domain/anomalies/policy.js';
import type { NewClient } from '../../src/domain/clients.js';
import type { UserId } from '../../src/domain/types.js';
import { profileOf, sessionOf, use } from './activities.js';
import { CURL, FAR, FIREFOX, HOME, twoPlaces } from './detection.js';
import { PASSWORD, rowOf, rowsOf, type ServiceOptions, startService, type Tokens, testKeks } from './service.js';

const keks = testKeks();
const DAYS = 16;
const MINUTE = 60;
const HOUR = 3600;

/** Tests share a database, and each has people and a client of its own. */
export type AtHomeOptions = ServiceOptions & Required<Pick<ServiceOptions, 'database'>> & { more?: Partial<NewClient> };

let people = 0;

/** A service, a client with the policy, and a user of it who has been in Berlin for weeks. */
export async function atHome(t: Test, policy: Policy, { more = {}, ...options }: AtHomeOptions) {
  const service = await startService(t, { keks, places: twoPlaces, ...options });
  const { clock, services } = service;
  const name = `app${++people}`;
  const email = `ada@${name}.example`;
  const fields = { name, type: 'public', audiences: ['api'], anomalyPolicy: policy } as const;
  await services.clients.create({ ...fields, clientId: name, ...more });
  const userId = await service.register(email);

  const from =
    (remoteAddress: string, userAgent: string) =>
    (url: string, payload: object, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> =>
      service.call({ method: 'POST', url, remoteAddress, payload, headers: { 'user-agent': userAgent, ...headers } });
  const [home, far] = [from(HOME, FIREFOX), from(FAR, CURL)];
  const loginAt = (there: typeof home) => there('/v1/login', { email, password: PASSWORD, client_id: name });
  const refreshAt = (there: typeof home, refresh_token: string, key?: string, more: object = {}) =>
    there('/v1/refresh', { refresh_token, ...more }, key === undefined ? {} : { 'idempotency-key': key });
  const detect = () => services.detection.run();
  return { service, clock, name, email, userId, home, far, from, loginAt, refreshAt, detect };
}

export type Who = Awaited<ReturnType<typeof atHome>>;

/** Two refreshes a day for weeks; the tokens that are then current. */
export async function forWeeks({ clock, home, loginAt, refreshAt, detect }: Who): Promise<Tokens> {
  let tokens: Tokens = (await loginAt(home)).json();
  for (let day = 0; day < DAYS; day++) {
    for (const hours of [6, 18]) {
      clock.advance(hours * HOUR);
      tokens = (await refreshAt(home, tokens.refresh_token)).json();
      await detect();
    }
  }
  return tokens;
}

/** The profile of such a user, without all the requests. */
export async function seeded({ service, clock, userId }: Who): Promise<void> {
  const uses = Array.from({ length: 2 * DAYS }, (_, half) =>
    use(clock.now() + half * 12 * HOUR * 1000, { userId: userId as UserId, sessionId: sessionOf(half), ip: HOME }),
  );
  const profile = profileOf(uses);
  clock.advance(DAYS * 24 * HOUR);
  await createDetectionStore(service.database).keep(
    [{ userId: userId as UserId, profile, version: null }],
    clock.now(),
  );
}

/** Logged in at home, and seen there. */
export async function settle(who: Who, weeks?: typeof forWeeks) {
  const { home, loginAt, detect, service } = who;
  const { database } = service;
  if (weeks === undefined) await seeded(who);
  const tokens: Tokens = weeks === undefined ? (await loginAt(home)).json() : await weeks(who);
  await detect();
  const session = `id = '${tokens.session_id}'`;
  return {
    tokens,
    sid: tokens.session_id,
    row: () => rowOf(database, 'sessions', session),
    events: async () =>
      (await rowsOf(database, 'audit_events', `session_id = '${tokens.session_id}' ORDER BY id`))
        .map(({ event, details }) => ({ event, details }))
        .filter(({ event }) => event !== 'login.succeeded'),
  };
}

/** Ten minutes after the user, from another continent, with another client. */
export async function stolen(t: Test, policy: Policy, options: AtHomeOptions, weeks?: typeof forWeeks) {
  const who = await atHome(t, policy, options);
  const session = await settle(who, weeks);
  t.strictSame(await session.events(), [], 'nothing is said of the user');
  who.clock.advance(10 * MINUTE);
  const answer = await who.refreshAt(who.far, session.tokens.refresh_token, 'k1');
  t.equal(answer.statusCode, 200, 'nobody waits for it');
  const current: Tokens = answer.json();
  await who.detect();
  return { ...who, ...session, current };
}
