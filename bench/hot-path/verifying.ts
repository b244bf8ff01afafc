/**
 * A process that checks tokens, as a service does, in as many loops as it is told: VERIFIER says with what, ISSUER whose they
 * are, TOKENS is a file of them, one a line. It answers each message, the settings of a run, with what came of it.
 */
import { readFileSync } from 'node:fs';
import { verifiers } from '../verifiers.js';
import type { Loaded } from './chain.js';

export interface VerifyingRun {
  seconds: number;
  loops: number;
  /** Only so many of the tokens from this one on, again and again: a run goes on where the one before it ended. */
  from: number;
  tokens: number;
}

/** Of so many checks one is timed. No power of two: in those the loops would take turns. */
const TIMED_ONE_IN = 17;

const { VERIFIER = '', ISSUER = '', TOKENS = '' } = process.env;
// A request brings its token as bytes: a string that was looked up before would be found faster than a new one.
const presented = readFileSync(TOKENS, 'utf8')
  .split('\n')
  .map((token) => Buffer.from(token));
const start = verifiers[VERIFIER];
if (start === undefined) throw new Error(`VERIFIER: there is no ${VERIFIER}`);
const { check } = await start(JSON.parse(ISSUER));

/** How many have been presented, by the first of those that are. */
const places = new Map<number, number>();

async function run({ seconds, loops, from: first, tokens }: VerifyingRun): Promise<Loaded> {
  const latencies: number[] = [];
  let operations = 0;
  let errors = 0;
  const place = places.get(first) ?? 0;
  const begun = performance.now();
  const until = begun + seconds * 1000;
  const loop = async () => {
    for (let over = false; !over; ) {
      const isTimed = operations % TIMED_ONE_IN === 0;
      const from = isTimed ? performance.now() : 0;
      try {
        await check(presented[first + ((place + operations++) % tokens)]?.toString('latin1') ?? '');
      } catch {
        errors++;
      }
      if (!isTimed) continue;
      const now = performance.now();
      latencies.push(now - from);
      over = now >= until;
    }
  };
  await Promise.all(Array.from({ length: loops }, loop));
  places.set(first, place + operations);
  const rate = (operations * 1000) / (performance.now() - begun);
  return { rate, latencies: latencies.sort((a, b) => a - b), operations, sentAway: 0, errors };
}

process.on('message', async (settings: VerifyingRun) => process.send?.(await run(settings)));
process.send?.('ready');
