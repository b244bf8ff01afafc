/** The service as a process of its own, on embedded storage: starts, stops, crashes, locks. */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { embeddedFolder, fastStorage } from '../support/databases.js';
import {
  type Answer,
  eventually,
  generationOf,
  launch,
  launchReady,
  type ServiceProcess,
  temporaryFolder,
} from '../support/process.js';
import { noteSecretsOf } from '../support/run-log.js';
import { freePort } from '../support/servers.js';
import { PASSWORD } from '../support/service.js';

/** What a process has of its own: a database and keys, which outlive it. */
const ownFolders = (t: Test) => ({ DATA_DIR: embeddedFolder(t), KEYS_DIR: join(temporaryFolder(t), 'keys') });

const tokenIn = ({ body }: Answer): string => String(body.refresh_token);

/** Refreshes without a pause until the service no longer answers; gives the last token that it did answer. */
async function refreshUntilGone(service: ServiceProcess, refreshToken: string, answers: string[]): Promise<string> {
  for (let key = randomUUID() as string; ; key = randomUUID()) {
    try {
      const answer = await service.refresh(refreshToken, key);
      if (answer.status !== 200) throw new Error(`refresh was refused: ${answer.status} ${answer.body.code}`);
      refreshToken = tokenIn(answer);
      answers.push(refreshToken);
    } catch (error) {
      if (error instanceof TypeError) return key;
      throw error;
    }
  }
}

/** Every file's path and content. */
function digest(folder: string): string {
  const hash = createHash('sha256');
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }).sort((a, b) =>
    join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1,
  )) {
    const path = join(entry.parentPath, entry.name);
    hash.update(path);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

/** A login whose body is held back: in progress for as long as the test likes. */
async function loginInProgress(service: ServiceProcess) {
  const body = JSON.stringify({ email: 'ada@example.com', password: PASSWORD });
  const login = request(`${service.url}/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), expect: '100-continue' },
  });
  const answered = new Promise<number | undefined>((resolve, reject) => {
    login.once('error', reject).once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => {
        noteSecretsOf(text);
        resolve(response.statusCode);
      });
    });
  });
  const accepted = new Promise((resolve) => login.once('continue', resolve));
  login.flushHeaders();
  await accepted;
  return {
    finish: () => {
      login.end(body);
      return answered;
    },
  };
}

t.test('a service on embedded storage', async (t) => {
  const env = ownFolders(t);
  const stopped = await launchReady(t, env);
  await stopped.register();
  const again = { ...env, ISSUER: stopped.url };
  const before = await stopped.login();
  const jwks = await stopped.get('/.well-known/jwks.json');
  t.match(await stopped.stop('SIGTERM'), { code: 0, signal: null });
  const killed = await launchReady(t, again);

  await t.test('has what was stored when it was stopped in good order', async (t) => {
    t.same((await killed.get('/.well-known/jwks.json')).body, jwks.body, 'the signing key is the same one');
    t.equal((await killed.get('/v1/me', before.access_token)).status, 200, 'an access token of before is still good');
    t.equal((await killed.refresh(before.refresh_token)).status, 200, 'and so is the refresh token');
  });

  const answers = [(await killed.login()).refresh_token];
  const gone = refreshUntilGone(killed, String(answers[0]), answers);
  await eventually(
    () => answers.length > 40,
    () => 'no refreshes',
  );
  t.match(await killed.stop('SIGKILL'), { code: null, signal: 'SIGKILL' });
  const key = await gone;
  const metricsPort = await freePort();
  const first = await launchReady(t, { ...again, METRICS_PORT: String(metricsPort) });

  await t.test('loses no rotation to kill -9 in a stream of refreshes, and leaves no lock behind', async (t) => {
    const last = String(answers.at(-1));
    t.equal(generationOf(last), answers.length - 1, 'each answer was the next generation');
    const retried = await first.refresh(last, key);
    t.equal(retried.status, 200, 'the request that got no answer is answered when it is sent again');
    t.match(String(retried.headers.get('keyturn-refresh-outcome')), /^(rotated|replayed)$/);
    t.equal(generationOf(tokenIn(retried)), generationOf(last) + 1);
    t.equal((await first.refresh(tokenIn(retried), randomUUID())).status, 200);
  });

  await t.test('keeps its data folder to itself, and is named to the one who tries', async (t) => {
    // Held still, so that whatever changes is the other's doing.
    first.child.kill('SIGSTOP');
    const before = digest(env.DATA_DIR);
    const { code, stderr } = await (await launch(t, env)).exited;
    t.equal(code, 1);
    t.match(stderr, new RegExp(`^keyturn: .*in use by process ${first.pid}\\b.*\\n$`), 'in one line');
    t.equal(digest(env.DATA_DIR), before, 'no file was touched');
    first.child.kill('SIGCONT');
    t.ok((await first.login()).refresh_token, 'it goes on working');
  });

  await t.test('keeps its port, which is said in one line', async (t) => {
    const another = { ...(await fastStorage(t)), KEYS_DIR: env.KEYS_DIR, PORT: String(first.port) };
    const { code, stderr } = await (await launch(t, another)).exited;
    t.equal(code, 1);
    t.match(stderr, /^keyturn: .*port.*in use.*PORT.*\n$/);
    t.equal((await first.get('/livez')).status, 200);
  });

  await t.test('serves its metrics on their own port, and not on the public one', async (t) => {
    await first.register('grace@example.com');
    const scrape = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
    t.equal(scrape.status, 200);
    const text = await scrape.text();
    t.match(text, /^keyturn_refresh_total\{outcome="reused"\} 0$/m);
    t.match(text, /route="\/v1\/users",status="201"\} 1$/m);
    t.match(text, /^process_cpu_seconds_total /m);
    t.equal((await fetch(`http://127.0.0.1:${metricsPort}/livez`)).status, 404);
    t.equal((await first.get('/metrics')).status, 404);
  });

  await t.test('answers what it has begun before SIGTERM ends it', async (t) => {
    const login = await loginInProgress(first);
    first.child.kill('SIGTERM');
    await eventually(
      () => first.output.stdout.includes('"draining"'),
      () => 'it does not drain',
    );
    t.equal(await login.finish(), 200);
    t.match(await first.exited, { code: 0, signal: null });
    await t.rejects(first.get('/livez'), 'nobody listens any more');
    await t.rejects(fetch(`http://127.0.0.1:${metricsPort}/metrics`), 'on either port');
  });
});

t.test('a service that waits for its database stops at once when asked to', async (t) => {
  const service = await launch(t, {
    KEYS_DIR: join(temporaryFolder(t), 'keys'),
    // Port 9 is "discard": nobody is there.
    DATABASE_URL: 'postgresql://keyturn@127.0.0.1:9/keyturn',
  });
  await eventually(
    () => service.output.stdout.includes('waiting for it'),
    () => 'it does not wait',
  );
  t.match(await service.stop('SIGTERM'), { code: 0, signal: null });
});
