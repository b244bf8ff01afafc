/**
 * A process that does nothing but what a refresh, or a login, cannot do without: WORK says which. `sign`: one signature;
 * `rotate`: one signature and one atomic UPDATE, which is what any refresh token that is used once takes; `rotate-together`:
 * the same, where those that come at the same time share the UPDATE, as they do in the service; `hash`: one check of a
 * password. What it lacks are limits, logs, metrics, retries, theft detection: it is a limit, not a service.
 */
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { verify } from 'argon2';
import { SignJWT } from 'jose';
import pg from 'pg';
import { together } from '../../src/adapters/postgres/together.js';

const { WORK = '', DATABASE_URL, DATABASE_POOL, SESSIONS = '0', PASSWORD_HASH = '' } = process.env;
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const sign = (): Promise<string> => {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ jti: randomUUID(), sid: randomUUID(), client_id: 'default', scope: '', roles: [] })
    .setProtectedHeader({ alg: 'RS256', kid: 'bare', typ: 'at+jwt' })
    .setIssuer('https://auth.example.com')
    .setSubject(randomUUID())
    .setAudience('api')
    .setIssuedAt(now)
    .setExpirationTime(now + 900)
    .sign(privateKey);
};

const pool = new pg.Pool({ ...(DATABASE_URL && { connectionString: DATABASE_URL }), max: Number(DATABASE_POOL ?? 10) });
const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

async function createSessions(): Promise<void> {
  await pool.query(`CREATE TABLE bare_sessions (id integer PRIMARY KEY, hash bytea NOT NULL,
    idle_expires_at timestamptz NOT NULL) WITH (fillfactor = 70)`);
  await pool.query(
    `INSERT INTO bare_sessions SELECT i, sha256(('first ' || i)::bytea), now() + interval '14 days'
    FROM generate_series(0, $1::integer - 1) i`,
    [SESSIONS],
  );
}

interface Rotation {
  session: string;
  hash: Buffer;
  nextHash: Buffer;
}

/** Resolves to whether there was such a row. */
async function rotateOne({ session, hash, nextHash }: Rotation): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: 'rotate',
    text: `UPDATE bare_sessions SET hash = $3, idle_expires_at = now() + interval '14 days'
      WHERE id = $1 AND hash = $2 AND idle_expires_at > now() RETURNING id`,
    values: [session, hash, nextHash],
  });
  return rowCount === 1;
}

/** As many at a time as the service takes. */
const { ask: rotateTogether } = together<Rotation, boolean>({
  atOnce: 2,
  sizeFor: (waiting) => Math.min(waiting, 16),
  async serve(rotations) {
    const { rows } = await pool.query<{ id: number }>({
      name: 'rotate-together',
      text: `UPDATE bare_sessions s SET hash = a.next_hash, idle_expires_at = now() + interval '14 days'
        FROM unnest($1::integer[], $2::bytea[], $3::bytea[]) a (id, hash, next_hash)
        WHERE s.id = a.id AND s.hash = a.hash AND s.idle_expires_at > now() RETURNING s.id`,
      values: [
        rotations.map(({ session }) => session),
        rotations.map(({ hash }) => hash),
        rotations.map(({ nextHash }) => nextHash),
      ],
    });
    const found = new Set(rows.map(({ id }) => String(id)));
    return rotations.map(({ session }) => found.has(session));
  },
});

/** `session.secret`, of which the table has the hash. */
async function refresh(token: string, rotate: (rotation: Rotation) => Promise<boolean>): Promise<object | null> {
  const [session = ''] = token.split('.', 1);
  const next = randomBytes(32).toString('base64url');
  const hash = sha256(token.slice(session.length + 1));
  if (!(await rotate({ session, hash, nextHash: sha256(next) }))) return null;
  return { access_token: await sign(), refresh_token: `${session}.${next}` };
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, string>> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

const work: Record<string, (request: IncomingMessage) => Promise<object | null>> = {
  sign: async () => ({ access_token: await sign() }),
  rotate: async (request) => refresh((await bodyOf(request)).refresh_token ?? '', rotateOne),
  'rotate-together': async (request) => refresh((await bodyOf(request)).refresh_token ?? '', rotateTogether),
  hash: async (request) => ((await verify(PASSWORD_HASH, (await bodyOf(request)).password ?? '')) ? {} : null),
};

const answerTo = work[WORK];
if (answerTo === undefined) throw new Error(`WORK: expected one of ${Object.keys(work).join(', ')}`);
if (WORK.startsWith('rotate')) await createSessions();
const server = createServer((request, response) => {
  answerTo(request).then(
    (answer) => {
      const body = JSON.stringify(answer ?? {});
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      response.writeHead(answer === null ? 401 : 200, headers).end(body);
    },
    () => response.writeHead(500, { 'content-length': 0 }).end(),
  );
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`);
});
