/** After the fire: what each client holds, against the row of its session. */

import { sha256 } from '../../../src/domain/refresh-token.js';
import { generationOf } from '../../support/process.js';
import type { Client } from './client.js';
import type { World } from './world.js';

export interface Judgement {
  rotations: number;
  /** Clients that were told something which no honest client is told, or whose session is over. */
  loggedOut: number;
  /** Clients whose refresh token is not the row's current one. */
  withoutCurrentToken: number;
  /** Rotations of rows that no client has ever heard of. */
  lostGenerations: number;
  /** Different tokens of the same generation of one session. */
  doubledGenerations: number;
  /** Clients that could not refresh once more when it was calm. */
  stuckAfterwards: number;
  /** For each client that something is wrong with, all that is known about it. */
  findings: string[];
}

interface Row {
  id: string;
  generation: number;
  current_hash: Buffer;
  revoked_at: Date | null;
  revoke_reason: string | null;
}

/** The last lines of the services' logs that are shown for a client. */
const SHOWN_LINES = 20;
const PREFIX = 'ktr_';
const SECRET = [20, 52] as const;

export async function judge(
  world: Pick<World, 'ask' | 'logged'>,
  clients: readonly Client[],
  lost: ReadonlyMap<Client, string>,
): Promise<Judgement> {
  const rows = await world.ask<Row>('SELECT id, generation, current_hash, revoked_at, revoke_reason FROM sessions');
  const rowOf = new Map(rows.map((row) => [row.id, row]));
  const judgement: Judgement = {
    rotations: rows.reduce((sum, { generation }) => sum + generation, 0),
    loggedOut: 0,
    withoutCurrentToken: 0,
    lostGenerations: 0,
    doubledGenerations: 0,
    stuckAfterwards: 0,
    findings: [],
  };
  const judgeOne = async (client: Client) => {
    const row = rowOf.get(client.sessionId);
    const wrong: string[] = [];
    const told = lost.get(client);
    if (row === undefined || row.revoked_at !== null || told !== undefined) {
      judgement.loggedOut++;
      wrong.push(`logged out: ${told ?? row?.revoke_reason ?? 'no session'}`);
    }
    if (row === undefined || !isCurrent(client.held(), row)) {
      judgement.withoutCurrentToken++;
      wrong.push(`holds generation ${generationOf(client.held())}, which is not the current token`);
    }
    const generations = new Set([...client.received].map(generationOf));
    const doubled = client.received.size - generations.size;
    const unheard = (row?.generation ?? 0) - generations.size;
    judgement.doubledGenerations += doubled;
    judgement.lostGenerations += Math.abs(unheard);
    if (doubled !== 0) wrong.push(`${doubled} generations have two tokens`);
    if (unheard !== 0) wrong.push(`saw ${generations.size} rotations of ${row?.generation}`);
    const failure = told ?? (await client.refresh().then(() => null, String));
    if (failure !== null || generationOf(client.held()) !== (row?.generation ?? 0) + 1) {
      judgement.stuckAfterwards++;
      wrong.push(`cannot go on: ${failure ?? `its next generation is ${generationOf(client.held())}`}`);
    }
    if (wrong.length > 0) judgement.findings.push(describe(client, row, wrong, world));
  };
  await Promise.all(clients.map(judgeOne));
  return judgement;
}

function isCurrent(token: string, row: Row): boolean {
  const secret = Buffer.from(token.slice(PREFIX.length), 'base64url').subarray(...SECRET);
  return generationOf(token) === row.generation && row.current_hash.equals(sha256(secret));
}

const timeIn = (line: string): string => /"time":"([^"]+)"/.exec(line)?.[1] ?? '';

function describe(client: Client, row: Row | undefined, wrong: string[], world: Pick<World, 'logged'>): string {
  const { current_hash: _, ...shown } = row ?? { current_hash: null };
  return [
    `session ${client.sessionId}: ${wrong.join('; ')}`,
    `row: ${JSON.stringify(shown)}`,
    ...client.history.map((line) => `client: ${line}`),
    ...world
      .logged(client.sessionId)
      .sort((a, b) => timeIn(a).localeCompare(timeIn(b)))
      .slice(-SHOWN_LINES)
      .map((line) => `service: ${line}`),
  ].join('\n  ');
}
