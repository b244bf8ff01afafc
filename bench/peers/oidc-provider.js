// oidc-provider on PostgreSQL: an adapter as those of its documentation are, one table with a document a row. Its sessions are
// made by its own models, so that what comes of them is its own. Writes its port; GET /seeds tells the refresh tokens.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { errors, Provider } from 'oidc-provider';
import pg from 'pg';

const { DATABASE_URL, SESSIONS = '100' } = process.env;
const ISSUER = 'https://auth.example.com';
const RESOURCE = 'https://api.example.com';
const CLIENT_ID = 'app';
const DAY_S = 86_400;

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const query = async (name, text, values) => (await pool.query({ name, text, values })).rows;

await pool.query(`CREATE TABLE oidc (model text, id text, payload jsonb NOT NULL, grant_id text, uid text, user_code text,
  expires_at timestamptz, consumed_at timestamptz, PRIMARY KEY (model, id))`);
await pool.query('CREATE INDEX ON oidc (grant_id)');
await pool.query('CREATE INDEX ON oidc (uid)');

const found = ([row]) =>
  row && { ...row.payload, ...(row.consumed_at && { consumed: Math.floor(row.consumed_at.getTime() / 1000) }) };

class PostgresAdapter {
  constructor(model) {
    this.model = model;
  }
  async upsert(id, payload, expiresIn) {
    const expiresAt = expiresIn ? new Date(Date.now() + expiresIn * 1000) : null;
    await query(
      'upsert',
      `INSERT INTO oidc (model, id, payload, grant_id, uid, user_code, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (model, id) DO UPDATE SET payload = $3, grant_id = $4, uid = $5, user_code = $6, expires_at = $7`,
      [this.model, id, payload, payload.grantId ?? null, payload.uid ?? null, payload.userCode ?? null, expiresAt],
    );
  }
  async find(id) {
    const text = 'SELECT payload, consumed_at FROM oidc WHERE model = $1 AND id = $2';
    return found(await query('find', text, [this.model, id]));
  }
  async findByUid(uid) {
    const text = 'SELECT payload, consumed_at FROM oidc WHERE model = $1 AND uid = $2';
    return found(await query('find_by_uid', text, [this.model, uid]));
  }
  async findByUserCode(userCode) {
    const text = 'SELECT payload, consumed_at FROM oidc WHERE model = $1 AND user_code = $2';
    return found(await query('find_by_user_code', text, [this.model, userCode]));
  }
  async destroy(id) {
    await query('destroy', 'DELETE FROM oidc WHERE model = $1 AND id = $2', [this.model, id]);
  }
  async consume(id) {
    await query('consume', 'UPDATE oidc SET consumed_at = now() WHERE model = $1 AND id = $2', [this.model, id]);
  }
  async revokeByGrantId(grantId) {
    await query('revoke_by_grant', 'DELETE FROM oidc WHERE grant_id = $1', [grantId]);
  }
}

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'peer', alg: 'RS256', use: 'sig' };

const provider = new Provider(ISSUER, {
  adapter: PostgresAdapter,
  clients: [
    {
      client_id: CLIENT_ID,
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: ['com.example.app:/callback'],
    },
  ],
  jwks: { keys: [jwk] },
  cookies: { keys: ['not used here'] },
  scopes: ['openid', 'offline_access', 'read'],
  ttl: { AccessToken: 900, RefreshToken: 14 * DAY_S, Grant: 90 * DAY_S },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo(_ctx, indicator) {
        if (indicator !== RESOURCE) throw new errors.InvalidTarget();
        // JWTs, which are not stored: the least that there is to do.
        return {
          scope: 'read',
          audience: 'api',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 900,
          jwt: { sign: { alg: 'RS256' } },
        };
      },
    },
  },
});
provider.proxy = true;

async function seed() {
  const client = await provider.Client.find(CLIENT_ID);
  const grant = new provider.Grant({ accountId: 'ada', clientId: CLIENT_ID });
  grant.addOIDCScope('offline_access');
  grant.addResourceScope(RESOURCE, 'read');
  const grantId = await grant.save(90 * DAY_S);
  const token = new provider.RefreshToken({
    accountId: 'ada',
    client,
    grantId,
    gty: 'authorization_code',
    scope: 'offline_access read',
    resource: RESOURCE,
    expiresIn: 14 * DAY_S,
  });
  return token.save();
}

const seeds = [];
while (seeds.length < Number(SESSIONS)) seeds.push(await seed());
await pool.query('VACUUM ANALYZE oidc');

const handle = provider.callback();
const server = createServer((request, response) => {
  if (request.url !== '/seeds') return handle(request, response);
  const body = JSON.stringify(seeds);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
