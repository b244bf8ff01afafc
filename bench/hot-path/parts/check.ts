/** What a gateway asks before each request, against a server that only verifies; and the keys that verifiers fetch. */
import { fileURLToPath } from 'node:url';
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { get, repeated } from '../chain.js';
import { startGround } from '../ground.js';
import { spread, store } from '../stored.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { accessTokens } from '../workloads.js';

const BARE_VERIFIER = fileURLToPath(new URL('../../bare-verifier.js', import.meta.url));
const OURS = 'GET /v1/authorize, revocations followed';
const UNSEEN = 'the same, each token seen for the first time';
/** More than are remembered: by the time a token comes again it has been forgotten. */
const TOKENS = 6_000;
const BARE = 'a bare server that verifies with jose';

export const check: Part = {
  about: 'checks of a gateway and the JWKS, against a server that only verifies',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url);
    await store(url, TOKENS, bench.say);
    const tokens = await accessTokens(port, spread(TOKENS, TOKENS), TOKENS);
    const few = tokens.slice(0, 10);
    const jwks = await (await fetch(`http://127.0.0.1:${port}/.well-known/jwks.json`)).text();
    const env = { JWKS: jwks, TOKEN_ISSUER: 'https://auth.example.com', AUDIENCE: 'api' };
    const bare = await ground.startProgram(BARE_VERIFIER, env);
    const { connections } = bench.settings;
    const requests = (path: string, some: readonly string[]) =>
      some.map((token) => get(path, { authorization: `Bearer ${token}` }));
    const rows = [
      {
        name: BARE,
        connections,
        serving: servedBy(ground, [bare.pid], false),
        workload: repeated(bare.port, requests('/', few)),
      },
      {
        name: OURS,
        connections,
        serving: servedBy(ground, [pid]),
        workload: repeated(port, requests('/v1/authorize?audience=api', few)),
      },
      {
        name: UNSEEN,
        connections,
        serving: servedBy(ground, [pid]),
        workload: repeated(port, requests('/v1/authorize?audience=api', tokens)),
      },
      {
        name: 'GET /.well-known/jwks.json',
        connections,
        serving: servedBy(ground, [pid]),
        workload: repeated(port, [get('/.well-known/jwks.json')]),
      },
    ];
    const results = await inTurns(rows, ground, bench);
    const against = (name: string) => ratio(find(results, name)?.rate, find(results, BARE)?.rate);
    return {
      tables: [
        tableOf(results, 'check'),
        ratios([
          ['throughput, of a bare server', against(OURS), 'at least 0.60'],
          ['… each token seen for the first time', against(UNSEEN), 'at least 0.60'],
        ]),
      ],
      charts: {},
      data: results,
    };
  },
};
