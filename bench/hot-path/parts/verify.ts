/** The verifier library, in a service of its own, against others. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../../test/support/process.js';
import { stopProcess } from '../../../test/support/servers.js';
import { type Issuer, startIssuer } from '../../issuer.js';
import { count } from '../../measurement.js';
import { FAST_JWT, JOSE, OURS, REMEMBERED_TOKENS, verifiers } from '../../verifiers.js';
import { type Bench, type Part, program } from '../bench.js';
import type { Loaded } from '../chain.js';
import { inTime } from '../in-time.js';
import { onMeasuredCore, startUnit } from '../processor.js';
import { measureInTurns, type Row } from '../rounds.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import type { VerifyingRun } from '../verifying.js';

const REVOCATIONS = 1_000_000;
const QUICK_REVOCATIONS = 1_000;
const SEEN = 3_000;
/** Others than those, and by the time one comes again it has been forgotten. */
const UNSEEN = 2 * REMEMBERED_TOKENS;
const SIGNED_AT_ONCE = 100;
const LOADS = [1, 32, 256];
/** To read a million revocations. Milliseconds. */
const STARTED_MS = 120_000;

const seenBy = (name: string) => `${name}: tokens seen before`;
const newTo = (name: string) => `${name}: new tokens`;

async function writeTokens(path: string, { token }: Issuer): Promise<void> {
  const tokens: string[] = [];
  while (tokens.length < SEEN + UNSEEN)
    tokens.push(...(await Promise.all(Array.from({ length: SIGNED_AT_ONCE }, (_, i) => token(tokens.length + i)))));
  writeFileSync(path, tokens.join('\n'));
}

/** A process of each, so that each has its own memory and its own compiled code. */
async function startVerifying({ scope }: Bench, name: string, issuer: Issuer, tokens: string): Promise<ChildProcess> {
  const { url, pem, jwks } = issuer;
  const env = { ...process.env, VERIFIER: name, ISSUER: JSON.stringify({ url, pem, jwks }), TOKENS: tokens };
  const child = await onMeasuredCore(async () =>
    fork(program('verifying'), { env, execArgv: [], serialization: 'advanced' }),
  );
  scope.teardown(() => stopProcess(child, 'SIGTERM'));
  await inTime(STARTED_MS, once(child, 'message'));
  return child;
}

async function runIn(child: ChildProcess, settings: VerifyingRun): Promise<Loaded> {
  const answer = once(child, 'message');
  child.send(settings);
  return (await answer)[0];
}

export const verify: Part = {
  about: 'checks of tokens in a service, by keyturn/verifier and by others',
  async measure(bench: Bench) {
    const { scope, settings, say } = bench;
    const { connections, quick } = settings;
    const issuer = await startIssuer(scope, quick ? QUICK_REVOCATIONS : REVOCATIONS);
    const path = join(temporaryFolder(scope), 'tokens');
    say(`${count(SEEN + UNSEEN)} tokens are signed`);
    await writeTokens(path, issuer);
    const rows: Row[] = [];
    for (const name of Object.keys(verifiers)) {
      say(`starting ${name}`);
      const child = await startVerifying(bench, name, issuer, path);
      const serving = { pids: child.pid === undefined ? [] : [child.pid], database: null };
      const rowOf = (named: string, from: number, tokens: number) => (loops: number) => ({
        ...{ name: named, connections: loops, serving },
        loadedBy: (seconds: number) => runIn(child, { seconds, loops, from, tokens }),
      });
      const loads = name === OURS && !quick ? LOADS : [connections];
      rows.push(...loads.map(rowOf(seenBy(name), 0, SEEN)), ...loads.map(rowOf(newTo(name), SEEN, UNSEEN)));
    }
    const unit = await onMeasuredCore(() => startUnit(scope));
    const results = await measureInTurns(rows, settings, unit, bench);
    const usual = results.filter((result) => result.connections === connections);
    const against = (of: (name: string) => string, name: string) =>
      ratio(find(usual, of(OURS))?.rate, find(usual, of(name))?.rate);
    return {
      tables: [
        tableOf(results, 'checks in one process'),
        ratios([
          ['tokens seen before: throughput, of fast-jwt with its cache', against(seenBy, FAST_JWT), 'at least 1'],
          ['… of jose', against(seenBy, JOSE), ''],
          ['new tokens: throughput, of jose', against(newTo, JOSE), 'at least 1.5'],
          ['… of fast-jwt', against(newTo, FAST_JWT), ''],
        ]),
      ],
      charts: {},
      data: results,
    };
  },
};
