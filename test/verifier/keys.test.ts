/** The cache of the issuer's keys: when it asks, when it does not, and what it does without an answer. */
import t from 'tap';
import { AUTH, type Bench, bench, forgeWith, NOW, rsaKey } from '../support/verifier.js';

const later = rsaKey('key-2');
const tokenOf = (key = later) => forgeWith(key, { exp: NOW + 86_400 }).token();
const long = (made: Bench) => made.forge.token({ claims: { exp: NOW + 86_400 } });
const unavailable = () => new Response('{}', { status: 500 });

/** An answer that is given when somebody says so. */
function heldBack(): { answer: () => Promise<Response>; give(response: Response): void } {
  let give = (_: Response) => {};
  const answer = new Promise<Response>((resolve) => {
    give = resolve;
  });
  return { answer: () => answer, give: (response) => give(response) };
}

t.test('the keys are fetched once, however many ask at first', async (t) => {
  const { outcome, jwks, forge, world } = bench(t);
  const tokens = Array.from({ length: 20 }, (_, i) => forge.token({ claims: { jti: String(i) } }));
  t.same(await Promise.all(tokens.map(outcome)), Array(20).fill('accepted'));
  world.advance(200);
  t.equal(await outcome(tokens[0] ?? ''), 'accepted');
  t.same(jwks.asked, [`${AUTH}/.well-known/jwks.json`]);
});

t.test('another address for the keys is asked instead', async (t) => {
  const { outcome, jwks, forge } = bench(t, { jwksUri: 'http://127.0.0.1:9/keys' });
  t.equal(await outcome(forge.token()), 'accepted');
  t.same(jwks.asked, ['http://127.0.0.1:9/keys']);
});

t.test('a set is as fresh as Cache-Control says', async (t) => {
  for (const [headers, seconds] of [
    [{ 'cache-control': 'public, max-age=300, stale-while-revalidate=60' }, 300],
    [{ 'cache-control': 'MAX-AGE="100"' }, 100],
    [{ 'cache-control': 's-maxage=1, max-age=100' }, 100],
    [{ 'cache-control': 'max-age=100', age: '60' }, 40],
    [{ 'cache-control': 'max-age=100', age: '600' }, 5],
    [{ 'cache-control': 'max-age=0' }, 5],
    [{ 'cache-control': 'no-store' }, 5],
    [{ 'cache-control': 'no-cache, max-age=900' }, 5],
    [{ 'cache-control': 'max-age=999999999' }, 3600],
    [{ 'cache-control': 'max-age=soon' }, 300],
    [{}, 300],
  ] as const) {
    const made = bench(t);
    made.jwks.headers = headers;
    const token = long(made);
    t.equal(await made.outcome(token), 'accepted');
    made.world.advance(seconds * 0.8 - 0.001);
    t.equal(await made.outcome(token), 'accepted');
    t.equal(made.jwks.asked.length, 1, `${JSON.stringify(headers)}: before 80 % of ${seconds} s`);
    made.world.advance(0.001);
    t.equal(await made.outcome(token), 'accepted');
    t.equal(made.jwks.asked.length, 2, `${JSON.stringify(headers)}: at 80 %`);
  }
});

t.test('at 80 % of its age nobody waits for the next set, and nobody asks twice', async (t) => {
  const made = bench(t);
  const { outcome, jwks, world, key } = made;
  const token = long(made);
  await outcome(token);
  const held = heldBack();
  jwks.answer = held.answer;
  world.advance(240);
  for (let i = 0; i < 5; i++) t.equal(await outcome(token), 'accepted');
  t.equal(jwks.asked.length, 2);
  const joined = outcome(tokenOf());
  held.give(Response.json({ keys: [key.publicJwk, later.publicJwk] }));
  t.equal(await joined, 'accepted', 'a new key is waited for where it is on its way already');
  t.equal(jwks.asked.length, 2);
});

t.test('an old set is not used while another can be had', async (t) => {
  const made = bench(t);
  const { outcome, jwks, world } = made;
  const token = long(made);
  await outcome(token);
  jwks.keys = [later.publicJwk];
  world.advance(300);
  t.equal(await outcome(token), 'unknown_key', 'its key has been withdrawn');
  t.equal(await outcome(tokenOf()), 'accepted');
});

t.test('a token is dropped with the key that verified it', async (t) => {
  const made = bench(t);
  const { outcome, jwks, world, key } = made;
  const token = long(made);
  t.equal(await outcome(token), 'accepted');
  jwks.keys = [{ ...later.publicJwk, kid: key.kid }];
  world.advance(300);
  t.equal(await outcome(token), 'invalid_signature', 'there is another key of the same name');
  jwks.keys = [key.publicJwk];
  world.advance(300);
  t.equal(await outcome(token), 'accepted');
  jwks.keys = [];
  world.advance(300);
  t.equal(await outcome(token), 'unknown_key', 'there are no keys');
});

t.test('an unknown key is asked for at most once in 30 seconds, not counting the first fetch', async (t) => {
  const made = bench(t);
  const { outcome, jwks, world } = made;
  const asked = async (kid: string) => {
    const before = jwks.asked.length;
    t.equal(await outcome(made.forge.token({ header: { kid } })), 'unknown_key');
    return jwks.asked.length - before;
  };
  t.equal(await asked('a'), 2, 'the first, and one for the key');
  for (const kid of ['a', 'b', 'c', '../d']) t.equal(await asked(kid), 0);
  world.advance(29.999);
  t.equal(await asked('e'), 0);
  jwks.keys = [...jwks.keys, later.publicJwk];
  t.equal(await outcome(tokenOf()), 'unknown_key', 'too early for a key that has just been published');
  world.advance(0.001);
  t.equal(await outcome(tokenOf()), 'accepted');
  t.equal(await asked('e'), 0);
});

t.test('many unknown keys at once cost one fetch', async (t) => {
  const made = bench(t);
  await made.verifier.warmUp();
  const tokens = Array.from({ length: 50 }, (_, i) => made.forge.token({ header: { kid: `x${i}` } }));
  t.same(new Set(await Promise.all(tokens.map(made.outcome))), new Set(['unknown_key']));
  t.equal(made.jwks.asked.length, 2);
});

t.test('without any keys nothing is verified, and the pauses between attempts grow to half a minute', async (t) => {
  const { outcome, verifier, jwks, world, forge } = bench(t);
  jwks.answer = unavailable;
  const error = await verifier.warmUp().catch((error) => error);
  t.match(error, { code: 'keys_unavailable', status: 503, retryAfter: 1, wwwAuthenticate: null });
  t.match(error.cause.message, /the JWKS: the answer was 500/);
  // Half of each pause is drawn, and what is drawn here is the middle.
  for (const pause of [0.75, 1.5, 3, 6, 12, 22.5, 22.5]) {
    const before = jwks.asked.length;
    world.advance(pause - 0.001);
    t.equal(await outcome(forge.token()), 'keys_unavailable');
    t.equal(jwks.asked.length, before, `not before ${pause} s`);
    world.advance(0.001);
    t.equal(await outcome(forge.token()), 'keys_unavailable');
    t.equal(jwks.asked.length, before + 1, `after ${pause} s`);
  }
  jwks.answer = null;
  world.advance(30);
  t.equal(await outcome(forge.token()), 'accepted');
});

t.test('an issuer that says when to come back is asked then', async (t) => {
  const { outcome, jwks, world, forge } = bench(t);
  jwks.answer = () => new Response('{}', { status: 503, headers: { 'retry-after': '20' } });
  t.equal(await outcome(forge.token()), 'keys_unavailable');
  jwks.answer = null;
  world.advance(19.999);
  t.equal(await outcome(forge.token()), 'keys_unavailable');
  world.advance(0.001);
  t.equal(await outcome(forge.token()), 'accepted');
});

t.test('while the issuer is down an old set serves for an hour, without anybody waiting for it', async (t) => {
  const made = bench(t);
  const { outcome, jwks, world } = made;
  const token = long(made);
  await outcome(token);
  jwks.answer = unavailable;
  world.advance(300);
  t.equal(await outcome(token), 'accepted', 'after an attempt that failed');
  const held = heldBack();
  jwks.answer = held.answer;
  world.advance(30);
  t.equal(await outcome(token), 'accepted', 'while an attempt is under way');
  held.give(unavailable());
  jwks.answer = unavailable;
  t.equal(await outcome(tokenOf()), 'keys_unavailable', 'a key that is not in it may be a new one');
  world.advance(3569.999);
  t.equal(await outcome(token), 'accepted');
  world.advance(0.001);
  t.equal(await outcome(token), 'keys_unavailable');
});

t.test('an issuer that does not answer is waited for five seconds', async (t) => {
  const { outcome, jwks, world, forge } = bench(t);
  let aborted = false;
  world.fetch = (_input, init) =>
    new Promise((_, reject) => {
      jwks.asked.push('');
      init?.signal?.addEventListener('abort', () => {
        aborted = true;
        reject(init.signal?.reason);
      });
    });
  const waiting = outcome(forge.token());
  world.advance(4.999);
  t.notOk(aborted);
  world.advance(0.001);
  t.equal(await waiting, 'keys_unavailable');
  t.ok(aborted);
  t.equal(world.timers(), 0);
});

t.test('a closed verifier asks for nothing any more', async (t) => {
  const { verifier, outcome, forge, jwks, world } = bench(t);
  t.equal(await outcome(forge.token()), 'accepted');
  await verifier.close();
  await verifier.close();
  const token = forge.token({ claims: { exp: NOW + 86_400 } });
  t.equal(await outcome(token), 'accepted', 'by what it knows');
  world.advance(3899.999);
  t.equal(await outcome(token), 'accepted');
  world.advance(0.001);
  t.equal(await outcome(token), 'keys_unavailable');
  t.equal(jwks.asked.length, 1);
});
