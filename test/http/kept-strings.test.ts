/** What is remembered of requests is as long as it is: it does not keep the headers alive out of which it was cut. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { networkOf } from '../../src/http/addresses.js';
import { userAgentOf } from '../../src/http/request-log.js';
import { createVerifiedTokens } from '../../src/verifier/verified.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const HEADERS = 200;
const FILLING = 'x'.repeat(100_000);
/** A twentieth of what the headers have together. */
const MOST_KEPT_BYTES = (HEADERS * FILLING.length) / 20;

/** How much more is alive when so many headers have been seen, of each of which a part is remembered. */
function kept(remember: (header: string, n: number) => void): number {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < HEADERS; n++)
    remember(Buffer.from(`${FILLING} 2001:db8:${n.toString(16)}::1`).toString('latin1'), n);
  collectGarbage();
  return process.memoryUsage().heapUsed - before;
}

/** What comes after the filling. */
const lastOf = (header: string): string => header.slice(FILLING.length + 1);

t.test('a header of which nothing is remembered is gone', async (t) => {
  t.ok(kept(lastOf) < MOST_KEPT_BYTES);
  const parts: string[] = [];
  t.ok(kept((header) => parts.push(lastOf(header))) > MOST_KEPT_BYTES, 'and a part of it alone keeps all of it');
  t.equal(parts.length, HEADERS);
});

t.test('an address that is counted keeps no header', async (t) => {
  t.ok(kept((header) => networkOf(lastOf(header))) < MOST_KEPT_BYTES);
  t.equal(networkOf('2001:db8:0::1'), '2001:db8::/64');
});

t.test('a user agent keeps no more than is stored of it', async (t) => {
  const all: (string | null)[] = [];
  t.ok(kept((header) => all.push(userAgentOf({ headers: { 'user-agent': header } }))) < MOST_KEPT_BYTES);
  t.same(new Set(all), new Set(['x'.repeat(512)]));
});

t.test('a token that was verified keeps no header', async (t) => {
  const tokens = createVerifiedTokens<object>(1_000);
  t.ok(kept((header) => tokens.set(lastOf(header), {})) < MOST_KEPT_BYTES);
  t.ok(tokens.get('2001:db8:0::1'), 'and is found');
});
