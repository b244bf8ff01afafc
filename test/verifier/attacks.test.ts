/** Forged tokens (RFC 8725), by the table that the service itself is put to: every one has its code, and none gets in. */
import t from 'tap';
import { attacks, startTrap } from '../support/attacks.js';
import { AUTH, bench } from '../support/verifier.js';

const { forge, outcome, jwks, another } = bench(t);
const elsewhere = bench(t, {}, null);
const trap = await startTrap(t);

for (const [name, table] of Object.entries(attacks(forge, trap.url))) {
  t.test(name, async (t) => {
    for (const { name, token, expect } of table) {
      t.equal(await outcome(token), expect, name);
      t.equal(await elsewhere.outcome(token), expect, `${name}, without Node's own crypto`);
    }
  });
}

t.test('nothing was fetched for any of them but the keys of the issuer', async (t) => {
  t.equal(trap.fetched(), 0);
  t.ok(jwks.asked.length > 0);
  t.same([...new Set(jwks.asked)], [`${AUTH}/.well-known/jwks.json`]);
});

t.test('a token for another audience is refused, however alike the names are', async (t) => {
  for (const aud of ['ap', 'api2', 'xapi', 'API', 'api ', ['ap', 'i'], ['api-other']]) {
    t.equal(await outcome(forge.token({ claims: { aud } })), 'invalid_audience', JSON.stringify(aud));
  }
});

t.test('what the claims are used for has the right type', async (t) => {
  for (const claims of [{ roles: 'admin' }, { roles: [7] }, { roles: null }, { auth_time: 'now' }]) {
    t.equal(await outcome(forge.token({ claims })), 'token_malformed', JSON.stringify(claims));
  }
});

t.test('what is no token is missing or malformed', async (t) => {
  t.equal(await outcome(''), 'token_missing');
  for (const none of [undefined, null]) t.equal(await outcome(none as never), 'token_missing', String(none));
  for (const odd of [7, {}, [forge.token()]]) t.equal(await outcome(odd as never), 'token_malformed', typeof odd);
  t.equal(await outcome(`Bearer ${forge.token()}`), 'token_malformed');
  t.equal(await outcome('x'.repeat(10_000_000)), 'token_malformed');
});

t.test('the tolerance is what was asked for, to the second', async (t) => {
  const exact = another({ clockTolerance: 0 });
  const now = Number(forge.claims.iat);
  const at = async (claims: Record<string, unknown>) =>
    exact.verify(forge.token({ claims })).then(
      () => 'accepted',
      ({ code }) => code,
    );
  t.equal(await at({ exp: now + 1 }), 'accepted');
  t.equal(await at({ exp: now }), 'token_expired');
  t.equal(await at({ nbf: now }), 'accepted');
  t.equal(await at({ nbf: now + 1 }), 'token_not_yet_valid');
});
