import t from 'tap';
import { type Revocable, RevocationSet } from '../../src/domain/revocation.js';
import { instant, later } from '../../src/domain/types.js';
import { revocation, token } from '../support/revocations.js';

const at = instant(Date.UTC(2026, 2, 1, 12, 0, 0, 250));
const SECOND = Math.floor(at / 1000);
const rule = (...[kind, value, more]: [Parameters<typeof revocation>[1], string, Parameters<typeof revocation>[3]?]) =>
  revocation(1, kind, value, { revokedAt: at, ...more });

const setOf = (...rules: ReturnType<typeof rule>[]) => {
  const set = new RevocationSet();
  for (const each of rules) set.add(each);
  return set;
};

t.test('a rule concerns what it names, and nothing else', async (t) => {
  const named: Partial<Revocable>[] = [{ jti: 'x' }, { sid: 'x' }, { sub: 'x' }, { clientId: 'x' }];
  for (const [i, kind] of (['jti', 'sid', 'sub', 'client'] as const).entries()) {
    const set = setOf(rule(kind, 'x'));
    for (const [j, mine] of named.entries())
      t.equal(set.covers(token({ iat: SECOND, ...mine })), i === j, `${kind}: ${JSON.stringify(mine)}`);
    t.notOk(set.covers(token({ iat: SECOND, sid: null, clientId: null })), `${kind}: without session and client`);
  }
});

t.test('a token or a session is over whenever the token was issued; of others what was issued before', async (t) => {
  for (const [kind, iat, covered] of [
    ['jti', SECOND + 1_000_000, true],
    ['sid', SECOND + 1_000_000, true],
    ['sub', SECOND - 1, true],
    ['sub', SECOND, true],
    ['sub', SECOND + 1, false],
    ['client', SECOND, true],
    ['client', SECOND + 1, false],
    ['all', SECOND, true],
    ['all', SECOND + 1, false],
  ] as const) {
    const set = setOf(rule(kind, kind === 'all' ? '' : 'x'));
    t.equal(
      set.covers(token({ jti: 'x', sid: 'x', sub: 'x', clientId: 'x', iat })),
      covered,
      `${kind} ${iat - SECOND} s`,
    );
  }
});

t.test('an instant never moves backwards, and neither does an end', async (t) => {
  const long = rule('sub', 'x', { notBefore: instant((SECOND + 10) * 1000), expiresAt: later(at, 7200) });
  const short = rule('sub', 'x', { notBefore: instant((SECOND - 10) * 1000), expiresAt: later(at, 60) });
  for (const set of [setOf(long, short), setOf(short, long)]) {
    t.ok(set.covers(token({ sub: 'x', iat: SECOND + 9 })));
    t.notOk(set.covers(token({ sub: 'x', iat: SECOND + 10 })));
    set.forget(later(at, 3600));
    t.equal(set.size, 1);
  }
});

t.test('what has ended is forgotten within a minute or so, never before', async (t) => {
  const set = setOf(rule('jti', 'a', { expiresAt: later(at, 100) }), rule('jti', 'b', { expiresAt: later(at, 1000) }));
  set.forget(later(at, 100));
  t.equal(set.size, 2);
  set.forget(later(at, 161));
  t.equal(set.size, 1);
  t.ok(set.covers(token({ jti: 'b' })));
  set.forget(later(at, 100_000));
  t.equal(set.size, 0);
});

t.test('a rule that was prolonged is kept until its later end, and then forgotten', async (t) => {
  const set = setOf(rule('sub', 'x', { expiresAt: later(at, 100) }), rule('sub', 'x', { expiresAt: later(at, 1000) }));
  set.forget(later(at, 500));
  t.equal(set.size, 1);
  set.forget(later(at, 1100));
  t.equal(set.size, 0);
});
