/**
 * How a command reaches the administration: the routes of http/admin, called over the Unix socket of a service that keeps
 * its database in a folder, or else in this process, on the database of the configuration.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, readConfig } from '../config.js';
import { type ErrorCode, Refusal } from '../domain/errors.js';
import { instant } from '../domain/types.js';
import type { Clock } from '../ports/clock.js';
import type { DatabaseHealth } from '../ports/database-health.js';
import { countNothing } from '../ports/metrics.js';
import {
  breachedPasswordsWhenNeeded,
  keksWhenNeeded,
  messagingWhenNeeded,
  signerWhenNeeded,
  unheard,
} from './when-needed.js';
import { quiet, withDatabase } from './with-database.js';

// Milliseconds. How long a folder may be held by a process without a socket, which is starting, stopping, or a command.
const FOLDER_WAIT_MS = 10_000;
const FOLDER_POLL_MS = 100;
/** Longer than the service gives itself for an answer. */
const ANSWER_TIMEOUT_MS = 30_000;

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The JSON of the answer; rejects with the Refusal that it was. */
export type Call = <T>(method: Method, path: string, body?: object) => Promise<T>;

/** `alone`: on a folder that nobody else can use meanwhile. */
export type Work<T> = (call: Call, alone: boolean) => Promise<T>;

export interface Message {
  method: Method;
  url: string;
  headers: Record<string, string>;
  payload: string;
}
export type Transport = (message: Message) => Promise<{ statusCode: number; body: string }>;

/** For the audit trail. Somebody without a name, as in a container, goes down by his number. */
function operator(): string {
  try {
    return userInfo()
      .username.replace(/[^A-Za-z0-9._@-]/g, '_')
      .slice(0, 64);
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}

export const callOver =
  (transport: Transport): Call =>
  async (method, url, body) => {
    const headers = {
      'keyturn-operator': operator(),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const answer = await transport({ method, url, headers, payload: body === undefined ? '' : JSON.stringify(body) });
    const document = answer.body === '' ? null : JSON.parse(answer.body);
    if (answer.statusCode < 400) return document;
    const { code, detail, type: _, title, status, request_id, ...extra } = document;
    throw new Refusal(code as ErrorCode, { detail, extra });
  };

/** Over the socket of a running service. */
export const overSocket =
  (socketPath: string): Transport =>
  ({ method, url, headers, payload }) =>
    new Promise((resolve, reject) => {
      const length = payload === '' ? {} : { 'content-length': Buffer.byteLength(payload) };
      const asked = request({ socketPath, method, path: url, headers: { ...headers, ...length } }, (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (text) => {
          body += text;
        });
        answer.once('end', () => resolve({ statusCode: answer.statusCode ?? 0, body })).once('error', reject);
      });
      const late = new Error('the service did not answer in time; look whether it was done before you try again');
      asked.setTimeout(ANSWER_TIMEOUT_MS, () => asked.destroy(late));
      asked.once('error', reject).end(payload);
    });

/** Whether a service listens there. */
export const answers = (path: string): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'EACCES' || code === 'EPERM')
        reject(new Error(`${path} is another user's: run the command as the user that runs the service`));
      else resolve(false);
    });
  });

/**
 * A command runs on whatever machine its user sits at. What it ends it ends by the clock that the services agree with: a
 * machine that is an hour behind must not leave good what was begun within that hour.
 */
async function clockOf(health: DatabaseHealth, own: Clock): Promise<Clock> {
  const ahead = (await health.now()) - own.now();
  return { ...own, now: () => instant(own.now() + ahead) };
}

/** In this process, which has the database to itself or shares a PostgreSQL. */
const locally = <T>(config: Config, work: Work<T>): Promise<T> =>
  withDatabase(config, async ({ database }) => {
    const [
      { composeAdministration },
      { openBreachedPasswords, openMessaging, openSigner },
      { readKeks },
      { createDatabaseHealth },
      { buildLocalApp },
      { createLogger },
      { systemClock },
      { systemRandom },
    ] = await Promise.all([
      import('../compose-administration.js'),
      import('../foundation.js'),
      import('../adapters/kek-files/kek-source.js'),
      import('../adapters/postgres/health.js'),
      import('../http/local-app.js'),
      import('../logger.js'),
      import('../adapters/system/clock.js'),
      import('../adapters/system/random.js'),
    ]);
    const { announcements, projection, close } = messagingWhenNeeded(() =>
      openMessaging(config, database, quiet, countNothing),
    );
    const isUnheard = config.DATABASE_URL !== null && config.REDIS_URL === null;
    const signer = signerWhenNeeded(() => openSigner(config));
    const health = createDatabaseHealth(database);
    const breachedPasswords = breachedPasswordsWhenNeeded(() => openBreachedPasswords(config, quiet));
    const administration = composeAdministration(config, {
      database,
      health,
      announcements,
      projection: isUnheard ? unheard(projection) : projection,
      metrics: countNothing,
      // None is made here: with a wrong KEYS_DIR it would be one that no service knows.
      keks: keksWhenNeeded(() => readKeks(config.KEYS_DIR)),
      signer,
      breachedPasswords,
      clock: await clockOf(health, systemClock),
      random: systemRandom,
    });
    // What is no refusal is for a developer: it is all there is of a log.
    const logger = createLogger('error', { write: (line) => process.stderr.write(line) });
    const app = await buildLocalApp({ issuer: config.ISSUER, administration }, logger);
    try {
      return await work(
        callOver((message) => app.inject(message)),
        config.DATABASE_URL === null,
      );
    } finally {
      // A key that is half made would be left behind in a device.
      await administration.keys.settled();
      await app.close();
      await close();
      await signer.close();
      await breachedPasswords.close();
    }
  });

export async function withAdministration<T>(work: Work<T>): Promise<T> {
  const config = readConfig(undefined, 'command');
  if (config.DATABASE_URL !== null) return locally(config, work);
  const { findSocket } = await import('../http/local-socket.js');
  const { path, problem } = findSocket(config.DATA_DIR);
  for (let waited = 0; ; waited += FOLDER_POLL_MS) {
    if (path !== null && (await answers(path))) return work(callOver(overSocket(path)), false);
    try {
      return await locally(config, work);
    } catch (error) {
      if (!(error instanceof Error && error.name === 'FolderInUse')) throw error;
      if (problem !== null) throw new Error(`${error.message}; it cannot be reached there: ${problem}`);
      if (waited >= FOLDER_WAIT_MS) throw error;
    }
    await sleep(FOLDER_POLL_MS);
  }
}
