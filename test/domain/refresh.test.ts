import t from 'tap';
import { type Decision, decide, hashIdempotencyKey, parseIdempotencyKey } from '../../src/domain/refresh.js';
import { formatRefreshToken } from '../../src/domain/refresh-token.js';
import { type Instant, instant, later, type Session, type SessionWithOwner } from '../../src/domain/types.js';
import { type MadeSession, makeSession, presented, SESSION_ID, tampered } from '../support/sessions.js';

const START = instant(Date.UTC(2026, 2, 1, 12));
const K1 = hashIdempotencyKey('key-1');
const K2 = hashIdempotencyKey('key-2');
const settings = { replayWindow: Number.POSITIVE_INFINITY, reuseLeeway: 10 };
const HOUR = 3600;

interface Case {
  name: string;
  /** Rotations that the session has been through: seconds after its start, and the key. */
  rotations?: [number, string | null][];
  /** Which generation's token is presented; the current one by default. */
  generation?: number;
  token?: (made: MadeSession) => string;
  row?: (session: Session) => Partial<Session>;
  owner?: Partial<SessionWithOwner>;
  key?: string;
  clientId?: string;
  proved?: Instant;
  /** Seconds after the start. */
  at?: number;
  settings?: Partial<typeof settings>;
  expect: Decision;
}

const rotate: Decision = { do: 'rotate' };
const replayed: Decision = { do: 'repeat', outcome: 'replayed' };
const concurrent: Decision = { do: 'repeat', outcome: 'concurrent' };
const reused: Decision = { do: 'refuse', code: 'refresh_token_reused', effect: 'end_session' };
const refused = (code: Extract<Decision, { do: 'refuse' }>['code']): Decision => ({
  do: 'refuse',
  code,
  effect: 'none',
});
const odd = (event: 'refresh.ahead_of_store' | 'refresh.secret_mismatch'): Decision => ({
  do: 'refuse',
  code: 'invalid_refresh_token',
  effect: 'audit',
  event,
});

const five: [number, string | null][] = [
  [100, K1],
  [200, null],
  [300, null],
  [400, null],
  [500, null],
];

const at = (seconds: number): Instant => later(START, seconds);
/** When the password was asked for. */
const ASKED = at(15);
const stepUp = () => ({ stepUpAt: ASKED });

const table: Record<string, Case[]> = {
  '1: the current token of a live session rotates': [
    { name: 'without a key', at: 5, expect: rotate },
    { name: 'with a key', at: 5, key: K1, expect: rotate },
    {
      name: 'with another key than that of the latest rotation',
      rotations: [[10, K1]],
      key: K2,
      at: 20,
      expect: rotate,
    },
    { name: 'without a key where the latest rotation had none', rotations: [[10, null]], at: 20, expect: rotate },
    {
      name: 'with a key that was used before the latest rotation',
      rotations: [
        [10, K1],
        [20, K2],
      ],
      key: K1,
      at: 30,
      expect: rotate,
    },
    { name: 'a moment before its idle end', at: 14 * 86_400 - 1, expect: rotate },
    { name: 'with the client it belongs to', clientId: 'default', at: 5, expect: rotate },
  ],
  '2: the current token with the key of the latest rotation is a client bug': [
    { name: 'at once', rotations: [[10, K1]], key: K1, at: 11, expect: refused('idempotency_key_reused') },
    { name: 'much later', rotations: [[10, K1]], key: K1, at: 10 * HOUR, expect: refused('idempotency_key_reused') },
  ],
  '3: the previous token with its key gets the same answer': [
    { name: 'at once', rotations: [[10, K1]], generation: 0, key: K1, at: 11, expect: replayed },
    { name: 'from Friday to Monday', rotations: [[10, K1]], generation: 0, key: K1, at: 72 * HOUR, expect: replayed },
    {
      name: 'a moment before the replay window ends',
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      at: 69,
      settings: { replayWindow: 60 },
      expect: replayed,
    },
    {
      name: 'even where a node with a slow clock asks',
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      at: 8,
      expect: replayed,
    },
  ],
  '4: the previous token within the leeway is a parallel request': [
    { name: 'without a key', rotations: [[10, K1]], generation: 0, at: 19, expect: concurrent },
    { name: 'with another key', rotations: [[10, K1]], generation: 0, key: K2, at: 19, expect: concurrent },
    { name: 'where neither had a key', rotations: [[10, null]], generation: 0, at: 19, expect: concurrent },
    { name: 'seen by a node with a slow clock', rotations: [[10, K1]], generation: 0, at: 7, expect: concurrent },
    {
      name: 'with its key, past a replay window shorter than the leeway',
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      at: 15,
      settings: { replayWindow: 2 },
      expect: concurrent,
    },
  ],
  '5: a late duplicate of an honest client changes nothing': [
    {
      name: 'two rotations back, within the leeway',
      rotations: [
        [10, null],
        [12, null],
      ],
      generation: 0,
      at: 19,
      expect: refused('refresh_superseded'),
    },
    {
      name: 'two rotations back, with its key, much later',
      rotations: [
        [10, K1],
        [12, K2],
      ],
      generation: 0,
      key: K1,
      at: HOUR,
      expect: refused('refresh_superseded'),
    },
    {
      name: 'four rotations back, with its key',
      rotations: five.slice(0, 4),
      generation: 0,
      key: K1,
      at: HOUR,
      expect: refused('refresh_superseded'),
    },
  ],
  '6: any other use of an old token ends the session': [
    {
      name: 'the previous one, without a key, past the leeway',
      rotations: [[10, K1]],
      generation: 0,
      at: 20,
      expect: reused,
    },
    {
      name: 'the previous one, with another key, past the leeway',
      rotations: [[10, K1]],
      generation: 0,
      key: K2,
      at: 20,
      expect: reused,
    },
    {
      name: 'the previous one, with its key, past the replay window',
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      at: 70,
      settings: { replayWindow: 60 },
      expect: reused,
    },
    {
      name: 'two rotations back, past the leeway of its rotation',
      rotations: [
        [10, null],
        [15, null],
      ],
      generation: 0,
      at: 20,
      expect: reused,
    },
    {
      name: 'two rotations back, with a later key',
      rotations: [
        [10, K1],
        [12, K2],
      ],
      generation: 0,
      key: K2,
      at: HOUR,
      expect: reused,
    },
    {
      name: 'five rotations back, though with its key',
      rotations: five,
      generation: 0,
      key: K1,
      at: HOUR,
      expect: reused,
    },
    {
      name: 'five rotations back, however recent',
      rotations: five.map(() => [1, null]),
      generation: 0,
      at: 2,
      expect: reused,
    },
    {
      name: 'without a leeway, at the same instant',
      rotations: [[10, K1]],
      generation: 0,
      at: 10,
      settings: { reuseLeeway: 0 },
      expect: reused,
    },
  ],
  '7: what this service never issued to the session is refused, and touches nothing': [
    {
      name: 'a wrong tag on the current token',
      token: ({ tokens }) => tampered(tokens[0] ?? '', 'tag'),
      at: 5,
      expect: refused('invalid_refresh_token'),
    },
    {
      name: 'a wrong secret under the old tag',
      token: ({ tokens }) => tampered(tokens[0] ?? '', 'secret'),
      at: 5,
      expect: refused('invalid_refresh_token'),
    },
    {
      name: 'a wrong tag on an old token',
      rotations: five,
      token: ({ tokens }) => tampered(tokens[0] ?? '', 'tag'),
      at: HOUR,
      expect: refused('invalid_refresh_token'),
    },
    { name: 'a token of another client', clientId: 'other', at: 5, expect: refused('invalid_refresh_token') },
    {
      name: 'an old token of another client',
      rotations: five,
      generation: 0,
      clientId: 'other',
      at: HOUR,
      expect: refused('invalid_refresh_token'),
    },
    {
      name: 'a wrong tag, though the user is disabled',
      token: ({ tokens }) => tampered(tokens[0] ?? '', 'tag'),
      owner: { userDisabled: true },
      at: 5,
      expect: refused('invalid_refresh_token'),
    },
  ],
  '8: a token from the future of the store is refused, and noted': [
    {
      name: 'after a restore from a backup',
      rotations: [[10, K1]],
      row: () => ({ generation: 0, rotations: [], previousHash: null }),
      generation: 1,
      at: 20,
      expect: odd('refresh.ahead_of_store'),
    },
  ],
  '9: a session that has ended gives no tokens': [
    {
      name: 'revoked',
      row: () => ({ revokedAt: START, revokeReason: 'logout' }),
      at: 5,
      expect: refused('session_revoked'),
    },
    {
      name: 'revoked, and the token is old: nothing more to end',
      rotations: five,
      generation: 0,
      row: () => ({ revokedAt: START, revokeReason: 'logout' }),
      at: HOUR,
      expect: refused('session_revoked'),
    },
    { name: 'at its idle end', at: 14 * 86_400, expect: refused('session_expired') },
    {
      name: 'at its absolute end',
      row: (s) => ({ idleExpiresAt: later(s.expiresAt, 1) }),
      at: 90 * 86_400,
      expect: refused('session_expired'),
    },
    {
      name: 'expired, and the token is old',
      rotations: five,
      generation: 0,
      at: 15 * 86_400,
      expect: refused('session_expired'),
    },
    { name: 'of a disabled user', owner: { userDisabled: true }, at: 5, expect: refused('account_disabled') },
    {
      name: 'of a disabled user, whatever else is true',
      owner: { userDisabled: true },
      rotations: five,
      generation: 0,
      row: () => ({ revokedAt: START, revokeReason: 'logout' }),
      at: HOUR,
      expect: refused('account_disabled'),
    },
  ],
  'a right tag with a wrong secret can only come from the database': [
    {
      name: 'for the current generation',
      token: ({ found }) => forged(found, 0),
      at: 5,
      expect: odd('refresh.secret_mismatch'),
    },
    {
      name: 'for the previous generation',
      rotations: [[10, K1]],
      token: ({ found }) => forged(found, 0),
      at: 5,
      expect: odd('refresh.secret_mismatch'),
    },
  ],
  'a user who has lost the role that the client asks for gets no token': [
    { name: 'by rotation', owner: { requiredRoles: ['admin'] }, at: 5, expect: refused('role_required') },
    {
      name: 'by replay',
      owner: { requiredRoles: ['admin'] },
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      at: 11,
      expect: refused('role_required'),
    },
    {
      name: 'but is not spared when the token was stolen',
      owner: { requiredRoles: ['admin'] },
      rotations: [[10, K1]],
      generation: 0,
      at: HOUR,
      expect: reused,
    },
    { name: 'and who has it does', owner: { requiredRoles: ['admin'], roles: ['admin', 'x'] }, at: 5, expect: rotate },
  ],
  'of a session that goes on with the password alone': [
    { name: 'it does not rotate without', row: stepUp, at: 30, expect: refused('password_required') },
    { name: 'it rotates with', row: stepUp, proved: ASKED, at: 30, expect: rotate },
    {
      name: 'it does not with a password that was given for an earlier demand',
      row: stepUp,
      proved: later(ASKED, -1),
      at: 30,
      expect: refused('password_required'),
    },
    {
      name: 'a replay gets nothing without',
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      row: stepUp,
      at: 30,
      expect: refused('password_required'),
    },
    {
      name: 'nor does a parallel request',
      rotations: [[20, K1]],
      generation: 0,
      row: stepUp,
      at: 25,
      expect: refused('password_required'),
    },
    {
      name: 'a replay is answered with',
      rotations: [[10, K1]],
      generation: 0,
      key: K1,
      row: stepUp,
      proved: ASKED,
      at: 30,
      expect: replayed,
    },
    { name: 'reuse ends it all the same', rotations: five, generation: 0, row: stepUp, at: HOUR, expect: reused },
    {
      name: 'one that is over says so first',
      row: () => ({ stepUpAt: ASKED, revokedAt: at(20), revokeReason: 'anomaly' }),
      at: 30,
      expect: refused('session_revoked'),
    },
    {
      name: 'nobody else hears of it',
      token: ({ tokens }) => tampered(tokens[0] ?? '', 'tag'),
      row: stepUp,
      at: 30,
      expect: refused('invalid_refresh_token'),
    },
  ],
};

const forged = ({ session }: SessionWithOwner, generation: number): string =>
  formatRefreshToken(SESSION_ID, generation, new Uint8Array(32).fill(7), session.familyKey);

for (const [row, cases] of Object.entries(table)) {
  t.test(`row ${row}`, async (t) => {
    for (const c of cases) {
      const made = makeSession(
        START,
        (c.rotations ?? []).map(([s, key]) => ({ at: at(s), key })),
      );
      const token = c.token ? c.token(made) : made.tokens[c.generation ?? made.tokens.length - 1];
      const found = { ...made.found, ...c.owner };
      found.session = { ...found.session, ...c.row?.(found.session) };
      const request = {
        token: presented(token),
        key: c.key ?? null,
        clientId: c.clientId ?? null,
        proved: c.proved ?? null,
      };
      const decision = decide(found, request, at(c.at ?? 0), { ...settings, ...c.settings });
      t.same(decision, c.expect, c.name);
    }
  });
}

t.test('row 7: a token of a session that is not there is refused', async (t) => {
  const { tokens } = makeSession(START);
  const request = { token: presented(tokens[0]), key: null, clientId: null, proved: null };
  t.same(decide(null, request, START, settings), refused('invalid_refresh_token'));
});

t.test('an Idempotency-Key is 1 to 255 visible ASCII characters, quoted or bare', async (t) => {
  for (const [header, key] of [
    ['a', 'a'],
    ['"a"', 'a'],
    ['8e03978e-40d5-43dd-bc93-6894a57f9324', '8e03978e-40d5-43dd-bc93-6894a57f9324'],
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ['a"b', 'a"b'],
    ['x'.repeat(255), 'x'.repeat(255)],
    [`"${'x'.repeat(255)}"`, 'x'.repeat(255)],
  ]) {
    t.equal(parseIdempotencyKey(header ?? ''), key);
  }
  for (const header of [
    '',
    '""',
    'a b',
    '"a b"',
    'a, b',
    'x'.repeat(256),
    `"${'x'.repeat(256)}"`,
    'ä',
    'a\u007f',
    '\u0000',
  ]) {
    t.throws(() => parseIdempotencyKey(header), { code: 'invalid_idempotency_key' });
  }
});
