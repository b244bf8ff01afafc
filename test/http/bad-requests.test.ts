/**
 * BAD_REQUESTS sets how many are sent. A failure prints its seed and path; BAD_REQUESTS_SEED sends the same ones again.
 */
import fc from 'fast-check';
import t from 'tap';
import { startService } from '../support/service.js';
import { type BadRequest, badRequests, type Document, type Operation, requestOf } from './bad-requests.js';
import { changesNothing, everyTable } from './bad-requests-database.js';
import { genuineRequests } from './bad-requests-genuine.js';
import { answerOf, faultsOf } from './refusals.js';

const MIN_REQUESTS = 5000;
const runs = Number(process.env.BAD_REQUESTS ?? 5500);
const seed = process.env.BAD_REQUESTS_SEED;

t.test('every bad request is refused in the common format and changes nothing', async (t) => {
  const service = await startService(t, { env: { AUTHORIZE_AUDIENCE: 'api' } });
  const document: Document = (await service.get('/openapi.json')).json();
  const { genuine, secrets } = await genuineRequests(service, document);
  const before = await everyTable(service.database);
  t.hasProps(before, ['audit_events', 'clients', 'sessions', 'signing_keys', 'users'], 'all tables are compared');
  const sent = new Map<string, number>();
  let count = 0;
  let wrongPasswords = 0;

  function undeclared({ what, genuine, request }: BadRequest, status: number): string[] {
    const operations: Record<string, Operation> = document.paths[genuine.path] ?? {};
    const elsewhere = what.includes('path') && !what.startsWith('path parameter');
    const operation = elsewhere ? undefined : operations[String(request.method).toLowerCase()];
    const expected = operation ? Object.keys(operation.responses) : [elsewhere ? ['404', '400'] : ['405']].flat();
    return expected.includes(String(status)) ? [] : [`status ${status} is not declared`];
  }

  async function isRefused(bad: BadRequest): Promise<void> {
    const response = await service.call(bad.request);
    const answer = answerOf(response);
    const faults = [
      ...faultsOf(answer, { path: String(bad.request.url), method: String(bad.request.method) }),
      ...undeclared(bad, answer.statusCode),
      ...secrets.filter((secret) => answer.body.includes(secret)).map(() => 'repeats a secret'),
    ];
    const id = bad.request.headers?.['x-request-id'];
    const isSane = typeof id === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(id);
    if (isSane !== (answer.headers['x-request-id'] === id)) faults.push('the wrong X-Request-Id');
    if (faults.length > 0) throw new Error(`${bad.what}: ${faults.join('; ')}: ${answer.statusCode} ${answer.body}`);
    const key = `${bad.genuine.method} ${bad.genuine.path}`;
    sent.set(key, (sent.get(key) ?? 0) + 1);
    count++;
    if (answer.statusCode === 403 && answer.body.includes('"wrong_password"')) wrongPasswords++;
  }

  await fc.assert(fc.asyncProperty(badRequests(genuine, document), isRefused), {
    numRuns: runs,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  });

  if (process.env.BAD_REQUESTS === undefined) {
    t.ok(count >= MIN_REQUESTS, `${count} bad requests were sent`);
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    t.same([...sent.keys()].sort(), operations.sort(), 'to every route of the document');
  }
  const after = await everyTable(service.database);
  const told = (event: string) => (after.audit_events ?? []).filter((row) => row.includes(`,${event},failure,`));
  const [attempts, guesses] = [told('password.change_failed'), told('client.authentication_failed')];
  t.equal(attempts.length, wrongPasswords, 'each wrong password has its audit event');
  t.ok(guesses.length > 0, 'and so have wrong secrets of clients');
  const expected = new Set([...attempts, ...guesses]);
  after.audit_events = (after.audit_events ?? []).filter((row) => !expected.has(row));
  t.same(changesNothing(before, after), [], 'no other row has changed');
  // The clock stands still here, and /readyz compares it with the database's. A stream has no end.
  const others = ['/readyz', '/v1/revocations/stream'];
  for (const one of genuine.filter(({ method, path }) => method === 'GET' && !others.includes(path))) {
    t.equal((await service.call(requestOf(one))).statusCode, 200, `what is genuine still works: ${one.path}`);
  }
});
