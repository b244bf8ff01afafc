/** Three nodes on one PostgreSQL and one Redis, each on its own way to Redis, and those who follow the feed. */
import { join } from 'node:path';
import type { Test } from 'tap';
import { makeKek } from '../../../src/adapters/kek-files/kek-source.js';
import { connectPostgres } from '../../../src/adapters/postgres/database.js';
import { systemClock } from '../../../src/adapters/system/clock.js';
import { systemRandom } from '../../../src/adapters/system/random.js';
import { createVerifier, type Verifier } from '../../../src/verifier/index.js';
import { postgresUrl } from '../../support/databases.js';
import { type Link, startLink } from '../../support/link.js';
import { launchReady, type ServiceProcess, temporaryFolder } from '../../support/process.js';
import { startRedisServer } from '../../support/redis-topologies.js';
import { noteSecretsOf } from '../../support/run-log.js';
import { execute, PASSWORD, type Tokens } from '../../support/service.js';

const ISSUER = 'http://127.0.0.1:3000';
const AUDIENCE = 'api';
const FOLLOWER = 'orders';
const ADMINISTRATOR = 'root@example.com';

export interface Answer {
  status: number;
  /** When the answer was there; by `performance.now()`. */
  at: number;
  body: Record<string, unknown>;
}

export interface Credentials {
  id: string;
  secret: string;
}

export interface Follower extends Verifier {
  /** The cursors from which it has asked for pages. */
  askedFrom: (string | null)[];
}

export interface World {
  /** Those who revoke are served here. */
  revoking: ServiceProcess;
  followed: readonly [ServiceProcess, ServiceProcess];
  /** The way of each of `followed` to Redis. */
  toRedis: readonly [Link, Link];
  /** The same node again, at the same address. */
  restart(node: ServiceProcess): Promise<ServiceProcess>;
  /** At the revoking node. */
  ask(method: string, path: string, body?: object, bearer?: string): Promise<Answer>;
  form(path: string, form: Record<string, string>): Promise<Answer>;
  register(email: string): Promise<void>;
  login(email: string): Promise<Tokens>;
  /** As the administrator. */
  administer(method: string, path: string, body?: object): Promise<Answer>;
  makeClient(id: string, more?: object): Promise<Credentials>;
  tokenOf(client: Credentials): Promise<string>;
  /** A service that hears of revocations at this address. */
  follow(address: string, maxStaleness?: number): Promise<Follower>;
}

export async function startWorld(t: Test): Promise<World> {
  const redis = await startRedisServer(t);
  const [first, second, third] = [
    await startLink(t, redis.port),
    await startLink(t, redis.port),
    await startLink(t, redis.port),
  ];
  const env = {
    ISSUER,
    DATABASE_URL: await postgresUrl(t),
    KEYS_DIR: join(temporaryFolder(t), 'keys'),
    SIGNING_ALG: 'EdDSA',
  };
  const start = (link: Link, more: Record<string, string> = {}) =>
    launchReady(t, { ...env, REDIS_URL: `redis://127.0.0.1:${link.port}`, ...more });
  // Else the first one would have to make it before the others start.
  makeKek(env.KEYS_DIR, systemClock.now(), systemRandom);
  const [revoking, one, two] = await Promise.all([start(first), start(second), start(third)]);

  async function send(method: string, url: string, headers: Record<string, string>, body?: string): Promise<Answer> {
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    const at = performance.now();
    const text = await response.text();
    noteSecretsOf(text);
    return { status: response.status, at, body: text === '' ? {} : JSON.parse(text) };
  }

  const ask: World['ask'] = (method, path, body, bearer) =>
    send(
      method,
      revoking.url + path,
      {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      },
      body === undefined ? body : JSON.stringify(body),
    );

  const formAt = (address: string, path: string, form: Record<string, string>) =>
    send(
      'POST',
      address + path,
      { 'content-type': 'application/x-www-form-urlencoded' },
      new URLSearchParams(form).toString(),
    );

  async function tokenAt(address: string, { id, secret }: Credentials): Promise<string> {
    const form = { grant_type: 'client_credentials', client_id: id, client_secret: secret };
    return String((await formAt(address, '/oauth/token', form)).body.access_token);
  }

  async function expecting(status: number, answer: Promise<Answer>): Promise<Record<string, unknown>> {
    const { status: was, body } = await answer;
    if (was !== status) throw new Error(`${was} ${body.code}`);
    return body;
  }

  async function login(email: string, more: object = {}): Promise<Tokens> {
    const body = { email, password: PASSWORD, ...more };
    return (await expecting(200, ask('POST', '/v1/login', body))) as unknown as Tokens;
  }

  const register: World['register'] = async (email) => {
    await expecting(201, ask('POST', '/v1/users', { email, password: PASSWORD }));
  };

  await register(ADMINISTRATOR);
  // What `keyturn users set-roles` would start another process for.
  const database = connectPostgres({ url: env.DATABASE_URL, max: 1, onIdleError() {} });
  await execute(database, `UPDATE users SET roles = '{admin}' WHERE email = '${ADMINISTRATOR}'`);
  await database.close();
  const administrator = await login(ADMINISTRATOR, { client_id: 'keyturn-admin' });
  const administer: World['administer'] = (method, path, body) =>
    ask(method, `/v1/admin${path}`, body, administrator.access_token);

  async function makeClient(id: string, more: object = {}): Promise<Credentials> {
    const fields = { client_id: id, type: 'confidential', audiences: [AUDIENCE], grants: ['client_credentials'] };
    const { client_secret } = await expecting(201, administer('POST', '/clients', { ...fields, ...more }));
    return { id, secret: String(client_secret) };
  }

  const credentials = await makeClient(FOLLOWER, { scopes: ['revocations:read'] });

  async function follow(address: string, maxStaleness?: number): Promise<Follower> {
    const askedFrom: (string | null)[] = [];
    const verifier = createVerifier({
      issuer: ISSUER,
      audience: AUDIENCE,
      algorithms: ['EdDSA'],
      revocation: {
        follow: { token: () => tokenAt(address, credentials) },
        ...(maxStaleness === undefined ? {} : { maxStaleness }),
      },
      // As a balancer would, which has sent it to this node.
      fetch: (input, init) => {
        const { pathname, search, searchParams } = new URL(String(input));
        if (pathname === '/v1/revocations') askedFrom.push(searchParams.get('after'));
        return fetch(address + pathname + search, init);
      },
    });
    t.teardown(() => verifier.close());
    await verifier.warmUp();
    return { ...verifier, askedFrom };
  }

  return {
    revoking,
    followed: [one, two],
    toRedis: [second, third],
    restart: (node) => start(node === one ? second : third, { PORT: String(node.port) }),
    ask,
    form: (path, form) => formAt(revoking.url, path, form),
    register,
    login,
    administer,
    makeClient,
    tokenOf: (client) => tokenAt(revoking.url, client),
    follow,
  };
}
