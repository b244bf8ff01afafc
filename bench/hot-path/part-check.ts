/** What a gateway asks before each request, against a server that only verifies; and the keys that verifiers fetch. */
import { fileURLToPath } from 'node:url';
import { type Bench, inTurns, type Part, servedBy } from './bench.js';
import { get, repeated } from './chain.js';
import { EMAIL, PASSWORD, register, startGround } from './ground.js';
import { find, ratio, ratios, tableOf } from './tables.js';

const BARE_SERVER = fileURLToPath(new URL('../bare-server.js', import.meta.url));
const OURS = 'GET /v1/authorize, revocations followed';
const BARE = 'a bare server that verifies with jose';

export async function login(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: EMAIL, password: PASSWORD }),
  });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  return token;
}

export const check: Part = {
  about: 'checks of a gateway and the JWKS, against a server that only verifies',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const { pid, port } = await ground.startService(await ground.createDatabase('keyturn'));
    await register(port);
    // As many tokens as a service may see in use at once.
    const tokens: string[] = [];
    for (let i = 0; i < 10; i++) tokens.push(await login(port));
    const jwks = await (await fetch(`http://127.0.0.1:${port}/.well-known/jwks.json`)).text();
    const env = { JWKS: jwks, TOKEN_ISSUER: 'https://auth.example.com', AUDIENCE: 'api' };
    const bare = await ground.startProgram(BARE_SERVER, env);
    const { connections } = bench.settings;
    const requests = (path: string) => tokens.map((token) => get(path, { authorization: `Bearer ${token}` }));
    const rows = [
      {
        name: BARE,
        connections,
        serving: servedBy(ground, [bare.pid], false),
        workload: repeated(bare.port, requests('/')),
      },
      {
        name: OURS,
        connections,
        serving: servedBy(ground, [pid]),
        workload: repeated(port, requests('/v1/authorize?audience=api')),
      },
      {
        name: 'GET /.well-known/jwks.json',
        connections,
        serving: servedBy(ground, [pid]),
        workload: repeated(port, [get('/.well-known/jwks.json')]),
      },
    ];
    const results = await inTurns(rows, ground, bench);
    const rate = ratio(find(results, OURS)?.rate, find(results, BARE)?.rate);
    return {
      tables: [tableOf(results, 'check'), ratios([['throughput, of a bare server', rate, 'at least 0.60']])],
      charts: {},
      data: results,
    };
  },
};
