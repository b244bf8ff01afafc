/** /v1/admin/keys: what each operation answers and does, and what it leaves in the audit trail. */
import { generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import t from 'tap';
import { makeKek, readKeks } from '../../src/adapters/kek-files/kek-source.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { instant } from '../../src/domain/types.js';
import { KekProblem } from '../../src/ports/kek-source.js';
import { adminTokens } from '../support/administrator.js';
import { isProblem } from '../support/answers.js';
import { temporaryFolder } from '../support/process.js';
import { rowsOf, startService } from '../support/service.js';
import { severalKeks } from '../support/signing-keys.js';

const SEEN_S = 600;
const keks = severalKeks('k1');
const service = await startService(t, { keks, env: { SIGNING_ALG: 'EdDSA' } });
const { clock, database } = service;
const admin = await adminTokens(service);
// The list is by age: no other key is as old as the first.
clock.advance(1);

interface Key {
  kid: string;
  state: string;
  kek: string | null;
}

async function call(method: 'GET' | 'POST', path = '', body?: object) {
  const { refresh_token: refreshToken } = admin;
  // Time is moved by more than a token lives.
  Object.assign(admin, (await service.refresh(refreshToken)).json());
  const headers = { authorization: `Bearer ${admin.access_token}` };
  const url = `/v1/admin/keys${path}`;
  if (body === undefined) return service.call({ method, url, headers });
  return service.call({
    method,
    url,
    headers: { ...headers, 'content-type': 'application/json' },
    payload: JSON.stringify(body),
  });
}
const keys = async (): Promise<Key[]> => (await call('GET')).json().keys;
const inState = (list: readonly Key[], state: string) =>
  list.filter((key) => key.state === state).map(({ kid }) => kid);
const audited = async (event: string, kid: string) =>
  (await rowsOf(database, 'audit_events', `event = 'signing_key.${event}' ORDER BY id`))
    .filter(({ details }) => (details as { kid: string }).kid === kid)
    .map(({ actor }) => actor);
const signer = async () => decodeProtectedHeader((await service.login('root@example.com')).access_token).kid;

t.test('a rotation that has to wait says until when, and happens by itself', async (t) => {
  const asked = (await call('POST', '/rotate')).json();
  const at = new Date(clock.now() + SEEN_S * 1000).toISOString();
  t.match(asked, { outcome: 'scheduled', at, before: [{ state: 'active', next: null }] });
  const [active, pending] = asked.after;
  t.match(active, { state: 'active', alg: 'EdDSA', kek: 'k1', next: { state: 'retiring', at }, retiring_at: null });
  t.match(pending, { state: 'pending', activated_at: null, next: { state: 'active', at } });
  t.same((await call('GET')).json(), { keys: asked.after });
  t.match((await call('POST', '/rotate')).json(), { outcome: 'already', at, after: asked.after });
  t.same(await audited('rotation_scheduled', pending.kid), [`user:${admin.id}`], 'once');

  clock.advance(SEEN_S);
  await service.services.signingKeys.tend();
  t.match(await keys(), [{ kid: active.kid, state: 'retiring', kek: null }, { kid: pending.kid, state: 'active' }, {}]);
  t.equal(await signer(), pending.kid);
});

t.test('a pending key is promoted, and a key that never was is not found', async (t) => {
  const [kid = ''] = inState(await keys(), 'pending');
  clock.advance(SEEN_S);
  t.match((await call('POST', `/${kid}/promote`)).json(), { outcome: 'done', at: new Date(clock.now()).toISOString() });
  t.equal(await signer(), kid);
  t.same(await audited('promoted', kid), [`user:${admin.id}`]);
  const unknown = 'A'.repeat(43);
  isProblem(t, await call('POST', `/${unknown}/promote`), 404, 'key_not_found');
  isProblem(t, await call('POST', `/${unknown}/revoke`, {}), 404, 'key_not_found');
  isProblem(t, await call('POST', '/short/promote'), 400, 'invalid_request');
  const [retiring = ''] = inState(await keys(), 'retiring');
  isProblem(t, await call('POST', `/${retiring}/promote`), 409, 'key_state_conflict');
});

t.test('the key that signs is revoked only as compromised, and then another one signs at once', async (t) => {
  const kid = String(await signer());
  isProblem(t, await call('POST', `/${kid}/revoke`, {}), 409, 'key_state_conflict');
  isProblem(t, await call('POST', `/${kid}/revoke`, { compromised: false }), 409, 'key_state_conflict');
  const { outcome, after } = (await call('POST', `/${kid}/revoke`, { compromised: true })).json();
  t.equal(outcome, 'done');
  t.same(inState(after, 'revoked'), [kid]);
  t.same(inState(after, 'active'), [await signer()]);
  t.same(await audited('revoked', kid), [`user:${admin.id}`]);
  t.match((await call('POST', `/${kid}/revoke`, { compromised: true })).json(), { outcome: 'already' });
});

t.test('a private key that was made elsewhere becomes a pending one', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { kid, outcome, after } = (await call('POST', '', { pem })).json();
  t.equal(outcome, 'done');
  t.ok(inState(after, 'pending').includes(kid));
  t.same(await audited('imported', kid), [`user:${admin.id}`]);
  t.match((await call('POST', '', { pem, alg: 'EdDSA' })).json(), { kid, outcome: 'already' });
  isProblem(t, await call('POST', '', { pem, alg: 'ES256' }), 422, 'key_rejected');
  const shared = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  isProblem(t, await call('POST', '', { pem: shared }), 422, 'key_rejected');
});

t.test('every private key is sealed under the newest KEK, or none', async (t) => {
  keks.put('k2');
  const sealed = (list: readonly Key[]) => list.flatMap(({ kek }) => kek ?? []);
  const { outcome, before, after } = (await call('POST', '/rewrap')).json();
  t.equal(outcome, 'done');
  t.same(new Set(sealed(before)), new Set(['k1']));
  t.same(new Set(sealed(after)), new Set(['k2']));
  t.same(await audited('rewrapped', inState(after, 'active')[0] ?? ''), [`user:${admin.id}`]);
  t.match((await call('POST', '/rewrap')).json(), { outcome: 'already' });
  keks.remove('k2');
  keks.put('k3');
  const refused = await call('POST', '/rewrap');
  isProblem(t, refused, 409, 'key_unusable');
  t.match(refused.json().detail, /KEK k2 \(kek_missing\)/);
  t.same(new Set(sealed(await keys())), new Set(['k2']));
});

t.test('a KEK that may not be used is a refusal that says what to do', async (t) => {
  const problem = 'the folder has mode 0755; mend it with: chmod 700';
  const lax = {
    ...keks,
    newest: () => {
      throw new KekProblem(problem);
    },
  };
  const other = await startService(t, { database, keks: lax, clock, env: { SIGNING_ALG: 'EdDSA' } });
  const response = await other.call({
    method: 'POST',
    url: '/v1/admin/keys/rewrap',
    headers: { authorization: `Bearer ${admin.access_token}` },
  });
  isProblem(t, response, 409, 'kek_unusable');
  t.equal(response.json().detail, problem);
});

t.test('a service that still runs can save its keys when the file of their KEK is lost', async (t) => {
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  const lost = makeKek(KEYS_DIR, instant(0), systemRandom);
  const other = await startService(t, { keks: readKeks(KEYS_DIR), env: { SIGNING_ALG: 'EdDSA' } });
  const root = await adminTokens(other);
  rmSync(lost);
  makeKek(KEYS_DIR, instant(1000), systemRandom);
  const headers = { authorization: `Bearer ${root.access_token}` };
  const answer = await other.call({ method: 'POST', url: '/v1/admin/keys/rewrap', headers });
  t.match(answer.json(), {
    outcome: 'done',
    before: [{ kek: '19700101T000000Z' }],
    after: { 0: { kek: '19700101T000001Z' } },
  });
});
