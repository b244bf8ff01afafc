/** Against a local server of the protocol of Pwned Passwords (range search by k-anonymity). */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { createRangeCheck } from '../../../src/adapters/breached-passwords/range.js';
import { sha1 } from '../../../src/adapters/breached-passwords/sha1.js';
import { listenOn } from '../../support/plain-servers.js';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function start(t: Test, answer: Answer) {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  const problems: string[] = [];
  const url = `http://127.0.0.1:${await listenOn(t, server)}`;
  return { asked, problems, check: createRangeCheck({ url, onProblem: (problem) => problems.push(problem) }) };
}

const BREACHED = 'a breached pass phrase';
const PADDING = 'a pass phrase that nobody has';
const rest = (password: string) => sha1(password).slice(5);
const lines = (...passwords: [string, number][]) =>
  [
    `${'0'.repeat(35)}:3`,
    ...passwords.map(([password, count]) => `${rest(password)}:${count}`),
    `${'F'.repeat(35)}:1`,
  ].join('\r\n');
const says =
  (text: string, status = 200): Answer =>
  (_, response) =>
    void response.writeHead(status).end(text);

t.test('a password is known by the rest of its hash, and only five digits are told of it', async (t) => {
  const { asked, check, problems } = await start(t, says(lines([BREACHED, 42])));
  t.equal(await check.has(BREACHED), true);
  t.equal(await check.has('another pass phrase'), false);
  t.equal(asked[0]?.url, `/range/${sha1(BREACHED).slice(0, 5)}`);
  t.equal(asked[0]?.headers['add-padding'], 'true');
  t.notMatch(JSON.stringify(asked.map(({ url, rawHeaders }) => [url, rawHeaders])), new RegExp(rest(BREACHED), 'i'));
  t.same(problems, []);
});

t.test('padding is no breach', async (t) => {
  const { check } = await start(t, says(lines([PADDING, 0], [BREACHED, 1])));
  t.equal(await check.has(PADDING), false);
  t.equal(await check.has(BREACHED), true);
});

t.test('whatever is wrong with the service, nobody is kept out, and somebody is told', async (t) => {
  const wrong: Record<string, Answer> = {
    'answered 503': says(lines([BREACHED, 1]), 503),
    'answered 429': says('', 429),
    'no answer within 1000 ms': () => {},
    'answered too much': (_, response) => void response.writeHead(200).end('x\n'.repeat(1024 * 1024)),
    ECONNRESET: (request) => request.socket.resetAndDestroy(),
  };
  await Promise.all(
    Object.entries(wrong).map(async ([problem, answer]) => {
      const { check, problems } = await start(t, answer);
      const begun = performance.now();
      t.equal(await check.has(BREACHED), false, problem);
      t.ok(performance.now() - begun < 5_000);
      t.same(problems, [problem === 'ECONNRESET' ? problems[0] : problem]);
      t.equal(problems.length, 1);
    }),
  );
});

t.test('nothing is followed elsewhere', async (t) => {
  const elsewhere = await start(t, says(lines([BREACHED, 1])));
  const { check, problems } = await start(t, (_, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:1/range/${sha1(BREACHED).slice(0, 5)}` }).end();
  });
  t.equal(await check.has(BREACHED), false);
  t.equal(problems.length, 1);
  t.same(elsewhere.asked, []);
});

t.test('an answer that makes no sense is no breach', async (t) => {
  for (const text of [
    '',
    '<html>',
    `${rest(BREACHED)}`,
    `${rest(BREACHED)}:x`,
    `${rest(BREACHED)}:1 `,
    `x${rest(BREACHED)}:1`,
  ]) {
    const { check } = await start(t, says(text));
    t.equal(await check.has(BREACHED), text === rest(BREACHED), text);
  }
});

t.test('more than so many do not wait at one time', async (t) => {
  const waiting: ServerResponse[] = [];
  const { check, problems } = await start(t, (_, response) => void waiting.push(response));
  const all = Array.from({ length: 70 }, () => check.has(BREACHED));
  t.same(await Promise.all(all.slice(64)), Array(6).fill(false));
  t.equal(problems.length, 6);
  for (const response of waiting) response.end(lines([BREACHED, 1]));
  await Promise.all(all);
});
