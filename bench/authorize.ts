/** What a check of a gateway costs, plain and with sliding sessions, and what nginx adds to it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startGateway, withoutGateway } from '../test/support/gateways.js';
import { listenOn } from '../test/support/plain-servers.js';
import { launch, runToEnd, type ServiceProcess, temporaryFolder } from '../test/support/process.js';
import type { Scope } from '../test/support/scope.js';
import { startPostgres, startRedis, stopProcess } from '../test/support/servers.js';
import { PASSWORD } from '../test/support/service.js';
import { type Load, type LoadResult, load } from './http-load.js';
import { count, type Measurement, quantile } from './measurement.js';
import { pin } from './pinned.js';

const ISSUER = 'https://auth.example.com';
const SERVICE_CORE = 0;
const OTHER_CORE = 1;
/** Of checks with a sliding session, one in so many finds a token that is due; that is one request a second at 60 s. */
const DUE_ONE_IN = 60;
const RENEW_AFTER_S = 2;
const WARM_UP_S = 3;

const requestOf = (path: string, token: string) =>
  `GET ${path} HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer ${token}\r\n\r\n`;
const CHECK = '/v1/authorize?audience=api';

/** What all variants are asked for; each keeps its own tokens. */
type Variant = Pick<Load, 'request' | 'answered'> & { port: number };

const mustPass = (head: string): void => {
  if (!/^HTTP\/1\.1 200 /.test(head)) throw new Error(`not let through: ${head.slice(0, 400)}`);
};

async function startService(scope: Scope): Promise<{ service: ServiceProcess; env: Record<string, string> }> {
  const [postgres, redis] = await Promise.all([startPostgres({ durable: true }), startRedis()]);
  if (postgres === null || redis === null) throw new Error('PostgreSQL and redis-server are needed');
  scope.teardown(() => Promise.all([postgres.stop(), redis.stop()]));
  const env = { ISSUER, DATABASE_URL: postgres.url, REDIS_URL: redis.url, KEYS_DIR: `${temporaryFolder(scope)}/keys` };
  const service = await launch(scope, env);
  await service.ready();
  await service.register();
  return { service, env };
}

/** A backend that does nothing; its port. */
const startBackend = (scope: Scope): Promise<number> =>
  listenOn(
    scope,
    createServer((_request, response) => void response.writeHead(200, { 'content-length': 0 }).end()),
  );

async function startBare(scope: Scope, service: ServiceProcess): Promise<{ port: number; pid: number | undefined }> {
  const { body } = await service.get('/.well-known/jwks.json');
  const path = fileURLToPath(new URL('bare-verifier.js', import.meta.url));
  const env = { PATH: process.env.PATH, JWKS: JSON.stringify(body), TOKEN_ISSUER: ISSUER, AUDIENCE: 'api' };
  const child = spawn(process.execPath, [path], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  scope.teardown(() => stopProcess(child, 'SIGTERM'));
  const [line] = await once(child.stdout, 'data');
  return { port: Number(String(line)), pid: child.pid };
}

/** Sessions of a client whose tokens slide, each with the token of its latest answer. */
async function sliding(service: ServiceProcess, clientId: string, sessions: number): Promise<Variant> {
  const tokens: string[] = [];
  for (let i = 0; i < sessions; i++) {
    const answer = await service.post('/v1/login', {
      ...{ email: 'ada@example.com', password: PASSWORD },
      client_id: clientId,
    });
    tokens.push(answer.headers.get('jwt') ?? '');
  }
  let turn = 0;
  const asking = new Map<number, number>();
  return {
    port: service.port,
    request(connection) {
      const session = turn++ % sessions;
      asking.set(connection, session);
      return requestOf(CHECK, tokens[session] ?? '');
    },
    answered(connection, head) {
      mustPass(head);
      const renewed = /\r\njwt: (\S+)/i.exec(head)?.[1];
      if (renewed !== undefined) tokens[asking.get(connection) ?? 0] = renewed;
    },
  };
}

const plain = (port: number, token: string, path = CHECK): Variant => ({
  port,
  request: () => requestOf(path, token),
  answered: (_, head) => mustPass(head),
});

/** In turns, so that what else the machine does meets all of them. Medians of the rounds. */
async function compare(variants: Record<string, Variant>, rounds: number, seconds: number, connections: number) {
  const results = new Map<string, LoadResult[]>();
  for (let round = 0; round <= rounds; round++)
    for (const [name, variant] of Object.entries(variants)) {
      const result = await load({ ...variant, connections, seconds: round === 0 ? WARM_UP_S : seconds });
      if (round > 0) results.set(name, [...(results.get(name) ?? []), result]);
    }
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  return Object.fromEntries(
    [...results].map(([name, all]) => {
      const at = (q: number) => median(all.map(({ latencies }) => quantile(latencies, q)));
      return [name, { rate: median(all.map(({ rate }) => rate)), p50: at(0.5), p99: at(0.99) }];
    }),
  );
}

const ms = (value: number): string => `${value.toFixed(2)} ms`;

export const authorize: Measurement = {
  about: 'checks of a gateway on one core, plain and with sliding sessions, and what nginx adds',
  options: { connections: 32, seconds: 5, rounds: 3 },
  async measure(scope, { connections = 0, seconds = 0, rounds = 0 }, say) {
    // What is started from here on stays with this process, but for what is measured.
    pin(process.pid, OTHER_CORE);
    const { service, env } = await startService(scope);
    const bare = await startBare(scope, service);
    const isPinned = [service.pid, bare.pid].map((pid) => pin(pid, SERVICE_CORE)).every((done) => done);
    const { access_token: token } = await service.login();
    const bareVariant = plain(bare.port, token);
    const plainVariant = plain(service.port, token);

    say('how fast it is, so that one check in so many finds a token that is due');
    const { rate } = await load({ ...plainVariant, connections, seconds: WARM_UP_S });
    const client = (id: string, renewAfter: number) =>
      runToEnd(
        scope,
        [
          'clients',
          'create',
          '--client-id',
          id,
          '--audience',
          'api',
          '--token-delivery',
          'header',
          '--renew-after',
        ].concat(String(renewAfter)),
        env,
      );
    await client('sliding', RENEW_AFTER_S);
    await client('each', 0);
    const sessions = Math.max(1, Math.round((rate * RENEW_AFTER_S) / DUE_ONE_IN));
    const [usual, each] = [await sliding(service, 'sliding', sessions), await sliding(service, 'each', connections)];
    // The processes hear of the clients at once; a token is due when it is as old as that.
    await sleep(RENEW_AFTER_S * 1000);

    say('checks, in turns');
    const variants = { bare: bareVariant, plain: plainVariant, usual, each };
    const { bare: least, ...checks } = await compare(variants, rounds, seconds, connections);
    const line = (name: string) => {
      const { rate = Number.NaN, p50 = Number.NaN, p99 = Number.NaN } = (name === 'bare' ? least : checks[name]) ?? {};
      return `${count(rate)} (${(rate / (least?.rate ?? Number.NaN)).toFixed(2)}); ${ms(p50)}; ${ms(p99)}`;
    };
    const rows = {
      'what is measured runs on': isPinned ? 'one core; the load, PostgreSQL, Redis and nginx on another' : 'any core',
      [`${connections} connections`]: 'checks a second (against the bare server); p50; p99',
      'a bare node:http server that verifies with jose': line('bare'),
      'check, tokens in the body': line('plain'),
      [`check, ${count(sessions)} sliding sessions, one check in ${DUE_ONE_IN} renews`]: line('usual'),
      'check, each renews (renew_after 0)': line('each'),
    };
    const missing = withoutGateway('nginx');
    if (missing !== false) return { ...rows, 'through nginx': `not measured: ${missing}` };

    say('through nginx');
    const backend = await startBackend(scope);
    const gateway = await startGateway(scope, 'nginx', { keyturn: service.port, backend });
    const steps = {
      check: plainVariant,
      backend: plain(backend, token, '/'),
      nginx: plain(Number(new URL(gateway).port), token, '/'),
    };
    const alone = await compare(steps, rounds, seconds, 1);
    const p50 = (name: string) => alone[name]?.p50 ?? Number.NaN;
    const p99 = (name: string) => alone[name]?.p99 ?? Number.NaN;
    return {
      ...rows,
      'one connection': 'p50; p99',
      'check alone': `${ms(p50('check'))}; ${ms(p99('check'))}`,
      'backend alone': `${ms(p50('backend'))}; ${ms(p99('backend'))}`,
      'backend through nginx, with its check': `${ms(p50('nginx'))}; ${ms(p99('nginx'))}`,
      'what nginx adds to check and backend, p50': ms(p50('nginx') - p50('check') - p50('backend')),
    };
  },
};
