// Runs test files, each as a process that writes TAP on its stdout, some at a time.
import { spawn } from 'node:child_process';
import { Parser } from 'tap-parser';

/** For the library, which has the same limit, to say in which test it was. */
const GRACE_MS = 5_000;

/** What a stream of TAP says, as `{ passed, skips, failures, problem }`; the problem is what is wrong with it as a whole. */
function readTap(stream) {
  const found = { passed: 0, skips: [], failures: [], problem: null };
  const parser = new Parser();
  const listen = (p) => {
    p.on('child', listen);
    p.on('assert', ({ ok, skip, name, fullname, diag, closingTestPoint }) => {
      if (skip) found.skips.push(typeof skip === 'string' ? skip : name);
      // A subtest's own line sums up lines that are counted already, unless it was skipped as a whole.
      else if (closingTestPoint) return;
      else if (ok) found.passed++;
      else found.failures.push({ name: fullname || name, diag });
    });
  };
  listen(parser);
  return new Promise((resolve) => {
    parser.on('complete', ({ ok, count, bailout, failures }) => {
      if (bailout) found.problem = `bailed out: ${bailout}`;
      else if (count === 0) found.problem = 'nothing was asserted';
      else if (!ok && found.failures.length === 0)
        found.problem = failures.find(({ tapError }) => tapError)?.tapError ?? 'its TAP says that it failed';
      resolve(found);
    });
    stream.pipe(parser);
  });
}

/** The file with whatever it has started: it leads a group of its own. */
function signalGroup({ pid }, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** What `readTap` found, with `file`, `ms` and `stderr`; that the process ended badly is a problem too. */
async function runFile(file, { env, cwd, timeoutS, graceMs = GRACE_MS }, running) {
  const start = performance.now();
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    cwd,
    // By itself the library gives a file 30 seconds.
    env: { ...env, TAP_TIMEOUT: String(timeoutS) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const deadline = setTimeout(() => signalGroup(child, 'SIGKILL'), timeoutS * 1000 + graceMs);
  const reading = readTap(child.stdout);
  const { code, signal } = await new Promise((resolve, reject) => {
    child.once('error', reject).once('exit', (code, signal) => resolve({ code, signal }));
  });
  clearTimeout(deadline);
  // Whatever it has left behind would go on, and keep the output open.
  signalGroup(child, 'SIGKILL');
  const found = await reading;
  running.delete(child);
  if (signal !== null) found.problem = `ended by ${signal}`;
  else if (code !== 0 && found.failures.length === 0) found.problem ??= `ended with ${code}`;
  return { ...found, file, ms: performance.now() - start, stderr };
}

/** Starts them in the order given, `jobs` at a time, and hands each result to `done`. */
export async function runFiles(files, { jobs, stop, ...options }, done) {
  const running = new Set();
  stop.addEventListener('abort', () => {
    for (const child of running) signalGroup(child, 'SIGKILL');
  });
  const waiting = [...files];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined && !stop.aborted; file = waiting.shift())
      done(await runFile(file, options, running));
  };
  await Promise.all(Array.from({ length: jobs }, work));
}
