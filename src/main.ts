/** The life of the process: start, listen, drain on SIGTERM. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Database } from './adapters/postgres/database.js';
import { createDatabaseHealth } from './adapters/postgres/health.js';
import { migrate } from './adapters/postgres/migrate.js';
import { createMetrics } from './adapters/prometheus/metrics.js';
import { systemClock } from './adapters/system/clock.js';
import { watchEventLoop } from './adapters/system/event-loop.js';
import { keepHeapSmall } from './adapters/system/heap.js';
import { systemRandom } from './adapters/system/random.js';
import { within } from './adapters/system/within.js';
import { welcome } from './cli/welcome.js';
import { compose, httpSettings } from './compose.js';
import type { Config } from './config.js';
import { listeningAddress } from './config-values.js';
import { Refusal } from './domain/errors.js';
import { POLL_S } from './domain/key-ring.js';
import { openBreachedPasswords, openDatabase, openKeks, openMessaging, openPlaces, openSigner } from './foundation.js';
import { buildApp } from './http/app.js';
import { listen } from './http/listen.js';
import { buildLocalApp } from './http/local-app.js';
import { listenOnSocket } from './http/local-socket.js';
import { buildMetricsApp } from './http/metrics-app.js';
import type { Services } from './http/services.js';
import { startAuditSealing } from './jobs/audit-sealing.js';
import { tellOfBlocks } from './jobs/blocks.js';
import { startCleanUp } from './jobs/clean-up.js';
import { followClients } from './jobs/clients.js';
import { startDetection } from './jobs/detection.js';
import { every } from './jobs/every.js';
import { keyRotation } from './jobs/key-rotation.js';
import { followPlaces } from './jobs/places.js';
import { startRevocations } from './jobs/revocations.js';
import { startShedding } from './jobs/shedding.js';
import { startWebhooks } from './jobs/webhooks.js';

/** How long a start waits for a database that is starting too, and how often it looks. Milliseconds. */
const DATABASE_WAIT_MS = 60_000;
const DATABASE_RETRY_MS = 500;
/** How long a start waits for what is due to the signing keys. Milliseconds. */
const FIRST_TEND_MS = 5_000;
/** Requests in progress get this long to end. Milliseconds; less than the 30 s that orchestrators wait before they kill. */
const DRAIN_MS = 20_000;

/** Resolves when the service listens; it then runs until a signal ends the process. */
export async function serve(config: Config, log: Logger): Promise<void> {
  keepHeapSmall();
  let stop: (() => Promise<void>) | null = null;
  let stopping = false;
  const onSignal = (signal: string) => {
    // Before it listens there is nothing to drain. The first process of a container gets no signal it has no handler for.
    if (stop === null) {
      log.info({ signal }, 'stopped before it was ready');
      process.exit(0);
    }
    // Somebody who asks twice does not want to wait.
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'draining');
    const deadline = setTimeout(() => {
      log.error({ drain_ms: DRAIN_MS }, 'requests did not end in time; stopping without them');
      process.exit(1);
    }, DRAIN_MS);
    stop().then(
      () => {
        clearTimeout(deadline);
        log.info({}, 'stopped');
        process.exit(0);
      },
      (error) => {
        log.error({ err: error }, 'could not stop in good order');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  ({ stop } = await start(config, log));
}

export async function start(config: Config, log: Logger): Promise<{ address: string; stop: () => Promise<void> }> {
  const startedAt = performance.now();
  const places = await openPlaces(config);
  const breachedPasswords = await openBreachedPasswords(config, log);
  const keks = openKeks(config, log);
  const signer = await openSigner(config);
  // Tokens of keys that are there are verified all the same; without any key the start ends below.
  void signer.prepare?.().catch((error: Error) => log.error({ error: error.message }, 'the HSM cannot be used'));
  const database = await openDatabase(config, log);
  const metrics = createMetrics({ ofProcess: config.METRICS_PORT !== null, pool: database.pool });
  const messaging = await openMessaging(config, database, log, metrics);
  const { announcements, projection, limiterOf, requestLimiterOf, close: closeMessaging } = messaging;
  const closing: (() => Promise<void> | void)[] = [
    closeMessaging,
    () => database.close(),
    () => signer.close?.(),
    breachedPasswords.close,
  ];
  const stop = async () => {
    for (const close of closing.splice(0)) await close();
  };
  try {
    await migrateWhenReachable(database, log);
    const services = compose(config, {
      database,
      health: createDatabaseHealth(database),
      announcements,
      projection,
      limiterOf,
      requestLimiterOf,
      keks,
      signer,
      places,
      breachedPasswords,
      metrics,
      clock: systemClock,
      eventLoop: watchEventLoop(),
      random: systemRandom,
    });
    // It may go away again between two steps of the start.
    await whenReachable(() => services.clients.seed(), log);
    const { follow, tend } = keyRotation(services, log);
    // The first key of all is made here: without one there is nothing to serve.
    await whenReachable(follow, log);
    const failed = (error: unknown) => log.warn({ err: error }, 'could not look after the signing keys; trying again');
    // What cannot be done now, such as making the next key, keeps nobody from being served; nor does a device that hangs.
    await within(FIRST_TEND_MS, tend().catch(failed)).catch(() => {});
    announcements.listen('signing-keys', () => void follow().catch(failed));
    closing.unshift(every(POLL_S, follow, failed));
    closing.unshift(every(POLL_S, tend, failed));

    closing.unshift(await followClients(services, announcements, log));

    metrics.watchRevocations(services.revocations);
    // Who cannot know yet what is revoked says so with each token, and serves all else.
    await services.revocations.follow().catch((error) => log.warn({ err: error }, 'revocations are not known yet'));
    closing.unshift(startRevocations(services, log));
    closing.unshift(startAuditSealing(services.auditSealing, log));
    closing.unshift(startCleanUp(services.cleanUp, log));
    closing.unshift(tellOfBlocks(services.blocks, log));
    closing.unshift(followPlaces(places, log));
    closing.unshift(startDetection(services.detection, log, within));
    closing.unshift(startWebhooks(services.webhookSending, log));
    closing.unshift(startShedding(services.shedding, log));

    const app = await buildApp(services, httpSettings(config, log));
    if (config.METRICS_PORT !== null) {
      const metricsApp = await buildMetricsApp(metrics, log);
      closing.unshift(() => metricsApp.close());
      await listen(metricsApp, config.HOST, config.METRICS_PORT, 'METRICS_PORT');
      log.info({ address: `${listeningAddress(config.HOST, config.METRICS_PORT)}/metrics` }, 'metrics are served');
    }
    if (config.DATABASE_URL === null) closing.unshift(await serveCommandLine(config, services, log));
    // Closed first, so that the requests it ends with can still be counted and read.
    closing.unshift(() => app.close());
    await listen(app, config.HOST, config.PORT, 'PORT');
    const address = listeningAddress(config.HOST, config.PORT);
    log.info({ address, issuer: config.ISSUER, start_ms: Math.round(performance.now() - startedAt) }, 'ready');
    if (!config.production) process.stderr.write(welcome(address));
    return { address, stop };
  } catch (error) {
    await stop().catch(() => {});
    throw error;
  }
}

/** Nobody else can open the embedded database while this process has it. Without the socket the service does its work. */
async function serveCommandLine(config: Config, services: Services, log: Logger): Promise<() => Promise<void>> {
  // A socket has no address to log.
  const local = await buildLocalApp(services, log.child({ via: 'socket' }));
  await listenOnSocket(local, config.DATA_DIR).catch((error: Error) =>
    log.warn({ reason: error.message }, 'the command line cannot reach this process: stop it for commands'),
  );
  return () => local.close();
}

const migrateWhenReachable = (database: Database, log: Logger): Promise<void> =>
  whenReachable(async () => {
    const applied = await migrate(database, sleep);
    if (applied.length > 0) log.info({ migrations: applied }, 'migrated the database');
  }, log);

/** Tries again as long as `work`, which can be repeated, fails for want of the database. */
async function whenReachable(work: () => Promise<void>, log: Logger): Promise<void> {
  for (let waited = 0; ; waited += DATABASE_RETRY_MS) {
    try {
      return await work();
    } catch (error) {
      const unreachable = error instanceof Refusal && error.code === 'store_unavailable';
      if (!unreachable || waited >= DATABASE_WAIT_MS) throw error;
      if (waited === 0) log.warn({ err: error.cause }, 'the database cannot be reached yet; waiting for it');
      await sleep(DATABASE_RETRY_MS);
    }
  }
}
