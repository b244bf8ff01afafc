/**
 * Tokens that nobody may accept, each with the one code that says why, and some that look odd and are good. One table for
 * all that check tokens: the service itself and keyturn/verifier. Time and issuer are those of `forge.claims`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { claimAttacks } from './attacks-claims.js';
import { formAttacks } from './attacks-form.js';
import { keyAttacks } from './attacks-keys.js';
import type { Attacks } from './attacks-rows.js';
import type { Forge } from './forge.js';

/** By what they show. */
export const attacks = (forge: Forge, trapUrl: string): Attacks => ({
  ...formAttacks(forge),
  ...keyAttacks(forge, trapUrl),
  ...claimAttacks(forge),
});

/** What nobody is to ask for: where a forged header says that keys are. `fetched` says how often it was asked. */
export async function startTrap(t: Test): Promise<{ url: string; fetched(): number }> {
  let fetched = 0;
  const server = createServer((_request, response) => {
    fetched++;
    response.end('{"keys":[]}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`, fetched: () => fetched };
}
