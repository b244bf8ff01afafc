// better-auth with its OAuth provider and its JWTs, on PostgreSQL, as it comes. Its sessions are made by its own adapter, each of
// a user of its own, since what it does on a reuse concerns all of a user's. Writes its port; GET /seeds tells the refresh tokens.
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { oauthProvider } from '@better-auth/oauth-provider';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import pg from 'pg';

const { DATABASE_URL, SESSIONS = '100' } = process.env;
const RESOURCE = 'https://api.example.com';
const CLIENT_ID = 'app';
const DAY_MS = 86_400_000;

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const auth = betterAuth({
  baseURL: 'https://auth.example.com',
  secret: randomBytes(32).toString('base64url'),
  database: pool,
  emailAndPassword: { enabled: true },
  // On, as in production, and never met.
  rateLimit: {
    enabled: true,
    window: 60,
    max: 1_000_000_000,
    customRules: { '/oauth2/token': { window: 60, max: 1e9 } },
  },
  telemetry: { enabled: false },
  logger: { disabled: true },
  plugins: [
    jwt({ jwks: { keyPairConfig: { alg: 'RS256', modulusLength: 2048 } } }),
    oauthProvider({
      loginPage: '/login',
      consentPage: '/consent',
      scopes: ['openid', 'offline_access', 'read'],
      resources: [RESOURCE],
      enforcePerClientResources: false,
      cachedTrustedClients: new Set([CLIENT_ID]),
      accessTokenExpiresIn: 900,
      silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
    }),
  ],
});
await (await getMigrations(auth.options)).runMigrations();
const { adapter, internalAdapter } = await auth.$context;

const now = new Date();
await adapter.create({
  model: 'oauthClient',
  data: {
    clientId: CLIENT_ID,
    name: 'App',
    redirectUris: ['https://app.example.com/callback'],
    tokenEndpointAuthMethod: 'none',
    grantTypes: ['authorization_code', 'refresh_token'],
    responseTypes: ['code'],
    public: true,
    skipConsent: true,
    scopes: ['openid', 'offline_access', 'read'],
    createdAt: now,
    updatedAt: now,
  },
});

async function seed(n) {
  const user = await internalAdapter.createUser({
    email: `user${n}@example.com`,
    name: `User ${n}`,
    emailVerified: true,
  });
  const session = await internalAdapter.createSession(user.id);
  const token = randomBytes(24).toString('base64url');
  await adapter.create({
    model: 'oauthRefreshToken',
    data: {
      token: createHash('sha256').update(token).digest('base64url'),
      clientId: CLIENT_ID,
      sessionId: session.id,
      userId: user.id,
      scopes: ['offline_access', 'read'],
      resources: [RESOURCE],
      authTime: now,
      createdAt: now,
      expiresAt: new Date(Date.now() + 30 * DAY_MS),
    },
  });
  return token;
}

const seeds = [];
while (seeds.length < Number(SESSIONS)) seeds.push(await seed(seeds.length));
await pool.query('VACUUM ANALYZE');

const handle = toNodeHandler(auth);
const server = createServer((request, response) => {
  if (request.url !== '/seeds') return handle(request, response);
  const body = JSON.stringify(seeds);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
