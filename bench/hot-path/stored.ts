/** Sessions by the million, as they are after some weeks of use: made by one statement, and their tokens are known. */
import { formatRefreshToken, sha256 } from '../../src/domain/refresh-token.js';
import type { SessionId } from '../../src/domain/types.js';
import { count } from '../measurement.js';
import { postJson, type RefreshProtocol, type Sessions } from './chain.js';
import { PASSWORD, queryOnce } from './ground.js';

const BATCH = 500_000;
/** How many devices a person has. */
export const SESSIONS_A_USER = 4;
/** Rotated before: from the fourth on a row is as large as it will ever be. */
const GENERATION = 4;

const uuid = (n: number) => `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
const uuidSql = (n: string) => `('01900000-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`;
const hashSql = (what: string) => `sha256((${what} || i)::bytea)`;
/** As a hashed Idempotency-Key is: base64url without padding. */
const keySql = (n: number) => `rtrim(translate(encode(${hashSql(`'key ${n} '`)}, 'base64'), '+/', '-_'), '=')`;
const rotationSql = (n: number) =>
  `jsonb_build_object('at', extract(epoch FROM now())::bigint * 1000 - ${n * 900_000}, 'key', ${keySql(n)})`;

/** Of nobody: they are only logged in to where somebody has registered, whose password they share. */
const insertUsers = `INSERT INTO users (id, email, email_key, password_hash, password_changed_at, created_at)
  SELECT ${uuidSql('i')}, 'user' || i || '@example.com', 'user' || i || '@example.com',
    coalesce((SELECT password_hash FROM users WHERE email_key = 'ada@example.com'), ''), now(), now()
  FROM generate_series($1::integer, $2::integer) i`;

const insertSessions = `INSERT INTO sessions (id, user_id, client_id, audience, scope, generation, current_hash,
    previous_hash, rotation_salt, rotations, family_key, idle_expires_at, expires_at, device_name, user_agent, ip, place,
    created_at, last_seen_at)
  SELECT ${uuidSql('i')}, ${uuidSql(`(i / ${SESSIONS_A_USER})`)}, 'default', 'api', '', ${GENERATION},
    sha256(${hashSql("'secret '")}), ${hashSql("'previous '")}, ${hashSql("'salt '")},
    jsonb_build_array(${[1, 2, 3, 4].map(rotationSql).join(', ')}), ${hashSql("'family '")},
    now() + interval '13 days' + i * interval '1 millisecond', now() + interval '60 days' + i * interval '1 millisecond',
    'Chrome on Android', 'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
    '127.0.0.1', NULL, now() - interval '30 days', now() - interval '1 hour'
  FROM generate_series($1::integer, $2::integer) i`;

async function inBatches(url: string, statement: string, rows: number, told: (done: number) => void): Promise<void> {
  for (let from = 0; from < rows; from += BATCH) {
    const to = Math.min(from + BATCH, rows);
    // The foreign keys hold by how the rows are made; to look at each of them would take most of the time.
    await queryOnce(`${url}?options=-c%20session_replication_role%3Dreplica`, statement, [from, to - 1]);
    told(to);
  }
}

export async function store(url: string, sessions: number, say: (text: string) => void): Promise<void> {
  await inBatches(url, insertUsers, Math.ceil(sessions / SESSIONS_A_USER), () => {});
  await inBatches(url, insertSessions, sessions, (done) => say(`${count(done)} of ${count(sessions)} sessions stored`));
  await queryOnce(url, 'VACUUM ANALYZE users');
  await queryOnce(url, 'VACUUM ANALYZE sessions');
  await queryOnce(url, 'CHECKPOINT');
}

/** A prime, so that sessions beside each other are not refreshed one after the other. */
const STRIDE = 7919;

/** `used` of those that are stored, evenly spread over all of them; another `offset` makes them others. */
export const spread = (stored: number, used: number, offset = 0): Sessions => ({
  count: used,
  first(session) {
    const n = Math.floor((((session * STRIDE) % used) * stored) / used) + offset;
    return formatRefreshToken(uuid(n) as SessionId, GENERATION, sha256(`secret ${n}`), sha256(`family ${n}`));
  },
});

export const keyturn = (port: RefreshProtocol['port']): RefreshProtocol => ({
  name: 'Keyturn',
  port,
  request: (token, key) =>
    postJson('/v1/refresh', { refresh_token: token }, key === null ? {} : { 'idempotency-key': key }),
});

export const login = (n: number): string =>
  postJson('/v1/login', { email: `user${n}@example.com`, password: PASSWORD });
