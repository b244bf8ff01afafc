/** Real nginx and Caddy with the files of examples/gateway, and the backend behind them. */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { listenOn } from './plain-servers.js';
import { eventually } from './process.js';
import { noteSecret } from './run-log.js';
import type { Scope } from './scope.js';
import { findBinary, freePort, stopProcess } from './servers.js';

const examples = fileURLToPath(new URL('../../../examples/gateway/', import.meta.url));

interface Addresses {
  gateway: number;
  keyturn: number;
  backend: number;
}

interface Product {
  binary: string | null;
  /** Writes the example into the folder, with other addresses; the arguments with which the binary takes it. */
  install(folder: string, ports: Addresses, changes: Record<string, string>): string[];
}

const ATTEMPTS = 3;

/** As they are, but for the addresses: a change that finds nothing to change is a mistake. */
function example(path: string, changes: Record<string, string>): string {
  const file = readFileSync(join(examples, path), 'utf8');
  return Object.entries(changes).reduce((content, [from, to]) => {
    if (!content.includes(from)) throw new Error(`no ${from} in ${path}`);
    return content.replaceAll(from, to);
  }, file);
}

const upstreams = ({ keyturn, backend }: Addresses) => ({
  '127.0.0.1:3000': `127.0.0.1:${keyturn}`,
  '127.0.0.1:8080': `127.0.0.1:${backend}`,
});

/** What stands around the example: Debian's nginx.conf, with everything in a folder of its own. */
const nginxConf = (folder: string) => `
  daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
  events {}
  http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
    include conf.d/*.conf;
  }`;

export const gateways = {
  nginx: {
    binary: findBinary('nginx'),
    install(folder, ports, changes) {
      mkdirSync(join(folder, 'conf.d'));
      cpSync(join(examples, 'nginx'), join(folder, 'snippets'), { recursive: true });
      const conf = example('nginx/keyturn.conf', {
        ...upstreams(ports),
        'listen 80;': `listen 127.0.0.1:${ports.gateway};`,
        ...changes,
      });
      writeFileSync(join(folder, 'conf.d/keyturn.conf'), conf);
      writeFileSync(join(folder, 'nginx.conf'), nginxConf(folder));
      return ['-p', folder, '-c', join(folder, 'nginx.conf')];
    },
  },
  caddy: {
    binary: findBinary('caddy'),
    install(folder, ports, changes) {
      const site = example('caddy/Caddyfile', {
        ...upstreams(ports),
        '\napi.example.com {': `\nhttp://127.0.0.1:${ports.gateway} {`,
        ...changes,
      });
      writeFileSync(join(folder, 'Caddyfile'), `{\n\tadmin off\n}\n${site}`);
      return ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'];
    },
  },
} satisfies Record<string, Product>;

export type GatewayName = keyof typeof gateways;
export const gatewayNames = Object.keys(gateways) as GatewayName[];

/** For a test's option `skip`: the reason where it is not installed, else false. */
export const withoutGateway = (name: GatewayName): string | false =>
  gateways[name].binary === null && `no ${name}: install it`;

/** Its address. It is stopped when the test is over. `changes` are what an operator writes into the example. */
export async function startGateway(
  t: Scope,
  name: GatewayName,
  behind: Omit<Addresses, 'gateway'>,
  changes: Record<string, string> = {},
): Promise<string> {
  const { binary, install } = gateways[name];
  if (binary === null) throw new Error(withoutGateway(name) || '');
  const said: string[] = [];
  // Somebody else may take a port that was free a moment ago.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const folder = mkdtempSync(join(tmpdir(), `keyturn-${name}-`));
    const gateway = await freePort();
    // Caddy keeps what it makes in HOME.
    const child = spawn(binary, install(folder, { gateway, ...behind }, changes), {
      env: { PATH: process.env.PATH, HOME: folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (line: string) => said.push(line));
    t.teardown(async () => {
      await stopProcess(child, 'SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    });
    const url = `http://127.0.0.1:${gateway}`;
    const isUp = async () => child.exitCode !== null || (await send(url, '/').then(({ status }) => status > 0));
    await eventually(isUp, () => `${name} does not answer: ${said.join('')}`);
    if (child.exitCode === null) return url;
  }
  throw new Error(`${name} does not start: ${said.join('')}`);
}

export interface Sent {
  method?: string;
  /** Names and values in turn, so that a name can come twice. */
  headers?: string[];
  body?: string;
}

export interface Received {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Sends the path and the headers as they are, which `fetch` would not. */
export const send = (url: string, path: string, { method = 'GET', headers = [], body }: Sent = {}): Promise<Received> =>
  new Promise((resolve, reject) => {
    const { host, hostname, port } = new URL(url);
    const hasBody = body !== undefined || method === 'POST';
    const length = hasBody ? ['Content-Length', String(Buffer.byteLength(body ?? ''))] : [];
    const sent = ['Host', host, 'Connection', 'close', ...length, ...headers];
    request({ hostname, port, path, method, headers: sent }, async (response: IncomingMessage) => {
      noteSecret(response.headers.jwt);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: await text(response) });
    })
      .once('error', reject)
      .end(body);
  });

export interface Arrived {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
}

/** The backend of the examples, and all that has got to it. */
export async function startBackend(t: Scope): Promise<{ server: Server; port: number; arrived: Arrived[] }> {
  const { server } = (await import(join(examples, 'backend/server.mjs'))) as { server: Server };
  const arrived: Arrived[] = [];
  server.prependListener('request', ({ method = '', url = '', headers, rawHeaders }) => {
    arrived.push({ method, url, headers, rawHeaders });
  });
  server.on('upgrade', (_, socket) => {
    arrived.push({ method: 'UPGRADE', url: '', headers: {}, rawHeaders: [] });
    socket.destroy();
  });
  return { server, port: await listenOn(t, server), arrived };
}
