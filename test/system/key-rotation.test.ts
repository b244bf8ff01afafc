/**
 * Rotations as the rest of a company sees them: three nodes on one database, none of which tells the others anything,
 * five libraries that verify with their default caches, and time that is moved for all of them.
 */
import { decodeJwt, decodeProtectedHeader } from 'jose';
import t from 'tap';
import { systemClock } from '../../src/adapters/system/clock.js';
import { byService } from '../../src/domain/audit.js';
import type { KeyInfo } from '../../src/domain/signing-keys.js';
import { fastDatabase } from '../support/databases.js';
import { moveTime } from '../support/moved-time.js';
import { noteSecretsOf } from '../support/run-log.js';
import { freePort } from '../support/servers.js';
import { PASSWORD, startService, type TestService, testKeks } from '../support/service.js';
import { verifiersOf } from '../support/verifiers.js';

/** A little less than a third of a token's life, so that its last check comes shortly before its end. */
const STEP_S = 290;
const ROTATIONS = 20;

interface Issued {
  token: string;
  kid: string;
  /** Seconds since the epoch. */
  exp: number;
  checks: number;
}

const time = moveTime(t);
const database = await fastDatabase(t);
const keks = testKeks();
const ports = await Promise.all([freePort(), freePort(), freePort()]);
const addressOf = (n: number) => `http://127.0.0.1:${ports[n]}`;
const issuer = addressOf(0);
const nodes: TestService[] = [];
for (const port of ports) {
  const env = { ISSUER: issuer, KEY_ROTATION_DAYS: '1' };
  const node = await startService(t, { database, keks, clock: systemClock, env });
  await node.app.listen({ host: '127.0.0.1', port });
  nodes.push(node);
}
const [one, two, three] = nodes as [TestService, TestService, TestService];
const verifiers = Object.entries(verifiersOf(issuer, 'api', addressOf));
await one.register();

const now = () => Math.floor(Date.now() / 1000);
const keysIn = async (state: KeyInfo['state']) =>
  (await one.services.signingKeys.list()).filter((key) => key.state === state);
const only = async (state: KeyInfo['state']): Promise<KeyInfo> => {
  const [key, ...others] = await keysIn(state);
  if (key === undefined || others.length > 0) throw new Error(`not one key is ${state}`);
  return key;
};

/** What a node does every 30 seconds. */
async function poll({ services }: TestService): Promise<void> {
  await services.signingKeys.tend();
  await services.keys.load();
}

/** Without a look at the keys before it, which `login` of the test service would take. */
async function login({ app }: TestService): Promise<Issued> {
  const payload = { email: 'ada@example.com', password: PASSWORD };
  const response = await app.inject({ method: 'POST', url: '/v1/login', payload });
  if (response.statusCode !== 200) throw new Error(`cannot log in: ${response.body}`);
  noteSecretsOf(response.body);
  const token: string = response.json().access_token;
  return { token, kid: String(decodeProtectedHeader(token).kid), exp: Number(decodeJwt(token).exp), checks: 0 };
}

let live: Issued[] = [];
const kids = new Set<string>();
const failures: string[] = [];
let checks = 0;
let turn = 0;

async function accepts([name, verify]: (typeof verifiers)[number], token: string): Promise<string | null> {
  return verify(token).then(
    () => name,
    () => null,
  );
}

/** Nights in which nobody logs in; the nodes go on looking at the keys. */
async function rest(seconds: number): Promise<void> {
  time.advance(seconds);
  for (const node of nodes) await poll(node);
}

/** When it is new and in its last minutes: checks in between would say the same, and take their time. */
const isToBeChecked = ({ checks, exp }: Issued) => checks === 0 || (checks === 1 && exp - now() < STEP_S);

/** One node looks at the keys, all issue tokens, the others look; then tokens that are still good are checked. */
async function step(seconds: number): Promise<void> {
  time.advance(seconds);
  const first = nodes[turn++ % nodes.length] ?? one;
  await poll(first);
  for (const node of nodes) live.push(await login(node));
  for (const node of nodes) if (node !== first) await poll(node);
  live = live.filter(({ exp }) => exp > now());
  for (const issued of live.filter(isToBeChecked)) {
    issued.checks++;
    kids.add(issued.kid);
    for (const verifier of verifiers) {
      checks++;
      if ((await accepts(verifier, issued.token)) === null)
        failures.push(`${verifier[0]} refuses a token of ${issued.kid}`);
    }
  }
}

t.test(`${ROTATIONS} rotations by schedule break no token`, async (t) => {
  await step(0);
  for (let n = 0; n < ROTATIONS; n++) {
    const { kid, next } = await only('active');
    const wait = ((next?.at ?? 0) - Date.now()) / 1000;
    await rest(wait - 1.5 * STEP_S);
    await step(STEP_S);
    t.equal((await only('active')).kid, kid, 'not before its time');
    // The rotation, and then the last tokens of the old key until their end.
    for (let n = 0; n < 4; n++) await step(STEP_S);
    t.not((await only('active')).kid, kid);
    t.equal((await only('retiring')).kid, kid);
    while ((await keysIn('retiring')).length > 0) await rest(STEP_S);
  }
  t.strictSame(failures, []);
  t.equal(kids.size, ROTATIONS + 1);
  t.ok(checks > ROTATIONS * 5 * verifiers.length, `${checks} checks`);
});

t.test('nor does one by hand, or one that has to wait', async (t) => {
  const { outcome } = await one.services.signingKeys.rotate(byService);
  t.equal(outcome, 'done');
  t.equal((await two.services.signingKeys.rotate(byService)).outcome, 'already');
  const { kid } = await only('pending');
  t.equal((await three.services.signingKeys.promote(kid, byService)).outcome, 'scheduled');
  while ((await only('active')).kid !== kid) await step(STEP_S);
  while ((await keysIn('retiring')).length > 0) await step(STEP_S);
  t.strictSame(failures, []);
});

t.test('a compromised key is refused by whoever looks again, and nothing else is', async (t) => {
  for (let n = 0; n < 3; n++) await step(STEP_S);
  const leaked = await login(one);
  const start = now();
  /** Seconds for which each library trusts a key that it has seen, as it is set up by default. */
  const cacheAge: Record<string, number> = {
    jose: 600,
    'jwks-rsa': 600,
    // A minute, and another one in place of an answer that does not have the key.
    'fast-jwt': 120,
    'express-oauth2-jwt-bearer': 600,
    // For ever, as long as it meets no key that it does not know: the end of the token is all there is.
    'aws-jwt-verify': leaked.exp - start,
  };
  for (const verifier of verifiers) t.ok(await accepts(verifier, leaked.token), `${verifier[0]} knows the key`);
  t.equal((await one.services.signingKeys.revoke(leaked.kid, { compromised: true }, byService)).outcome, 'done');
  t.equal((await one.get('/v1/me', leaked.token)).json().code, 'unknown_key');
  live = [];
  time.advance(30);
  for (const node of nodes) await poll(node);
  for (const node of nodes) t.equal((await node.get('/v1/me', leaked.token)).json().code, 'unknown_key');

  const lastAccepted: Record<string, number> = {};
  while (now() < leaked.exp + 60) {
    for (const verifier of verifiers) {
      const name = await accepts(verifier, leaked.token);
      if (name !== null) lastAccepted[name] = now() - start;
    }
    await step(60);
  }
  for (const [name] of verifiers) t.ok((lastAccepted[name] ?? 0) <= (cacheAge[name] ?? 0), name);
  t.strictSame(failures, []);
  t.notOk(live.some(({ kid }) => kid === leaked.kid));
});
