/** keyturn audit: on the routes of a service, in the test's own process. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { auditLine, exactJson } from '../../src/cli/audit-formats.js';
import type { AuditRecord } from '../../src/domain/audit-record.js';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { commandsOn } from '../support/command-line.js';
import { execute, PASSWORD, rowsOf, startService } from '../support/service.js';

const service = await startService(t);
const app = await buildLocalApp(service.services, createLogger('silent'));
t.teardown(() => app.close());
const { keyturn, json } = commandsOn(app);
const { clock, database } = service;
const seal = () => service.services.auditSealing.run();

const userId = await service.register();
clock.advance(60);
const tokens = await service.login();
clock.advance(60);
const FORMULA = '=HYPERLINK("https://evil.example","click")';
const sly = { email: 'ada@example.com', password: 'a wrong one' };
await service.post('/v1/login', sly, { 'user-agent': FORMULA, 'x-request-id': 'the-request' });
clock.advance(60);
await service.post('/v1/logout', { refresh_token: tokens.refresh_token }, { 'user-agent': 'A "browser",\u009b31m' });

const names = async (...filter: string[]) => {
  const { events } = await json(['audit', 'search', ...filter]);
  return events.map(({ event }: AuditRecord) => event);
};

t.test('events are found by whom, what, who, where and when, the newest first', async (t) => {
  const of = ['--user', 'ada@example.com'];
  const all = ['session.ended', 'login.failed', 'login.succeeded', 'user.created'];
  t.same(await names(...of), all);
  t.same(await names('--user', userId, '--limit', '2'), all.slice(0, 2));
  t.same(await names('--session', tokens.session_id), ['session.ended', 'login.succeeded']);
  t.same(await names(...of, '--event', 'login.*'), ['login.failed', 'login.succeeded']);
  t.same(await names('--event', 'login.failed', '--outcome', 'failure'), ['login.failed']);
  t.same(await names(...of, '--actor', 'anonymous'), ['login.failed']);
  t.same(await names('--request', 'the-request', '--address', '127.0.0.1'), ['login.failed']);
  t.same(await names('--client', 'default', '--event', 'session.ended'), ['session.ended']);
  const [start, end] = [-120, -60].map((secs) => new Date(clock.now() + secs * 1000).toISOString());
  t.same(await names(...of, '--since', String(start), '--until', String(end)), ['login.succeeded']);
  t.same(await names('--address', '192.0.2.1'), []);
  t.same(await names('--event', 'login'.concat('.%')).catch(() => 'refused'), 'refused');
  const jti = String(decodeJwt(tokens.access_token).jti);
  await json(['revoke', 'token', jti]);
  t.same(await names('--jti', jti), ['revocation.created']);
});

t.test('a search goes on where it ended, also past pages in which nothing was found', async (t) => {
  const all = await names('--limit', '1000');
  const seen: string[] = [];
  for (let cursor: string[] = []; ; ) {
    const page = await json(['audit', 'search', '--limit', '3', ...cursor]);
    seen.push(...page.events.map(({ event }: AuditRecord) => event));
    if (page.next_cursor === null) break;
    cursor = ['--cursor', page.next_cursor];
  }
  t.same(seen, all);
  const more = await keyturn(['audit', 'search', '--limit', '1']);
  t.match(more, { code: 0, stderr: /^there are more: --cursor \S+\n$/ });
  t.match(await keyturn(['audit', 'search', '--cursor', 'eA']), { code: 2, stderr: /^error: query cursor/ });
  t.match(await keyturn(['audit', 'search', '--since', 'yesterday']), { code: 2, stderr: /instant/ });
});

t.test('what a person reads has no control characters in it', async (t) => {
  const { stdout } = await keyturn(['audit', 'search', '--event', 'session.ended']);
  t.match(stdout, /^\S+Z {2}session\.ended {11}success {2}user:\S+ {2}user_id=.*user_agent="A \\"browser\\",\?31m"/);
  t.notMatch(stdout.trimEnd(), /\p{Cc}/u);
  for (const command of [['search', '--json'], ['tail', '--no-follow', '--json'], ['export']]) {
    const { stdout } = await keyturn(['audit', ...command, '--event', 'session.ended']);
    t.notMatch(stdout.trimEnd(), /\p{Cc}/u, `${command}: nor has JSON`);
    const found = JSON.parse(stdout);
    t.equal((found.events?.[0] ?? found).user_agent, 'A "browser",\u009b31m', 'which is exact');
  }
  const turned = { ...(await json(['audit', 'search', '--limit', '1'])).events[0], client_id: 'a\u202eb\u2028c' };
  t.match(auditLine(turned), / client_id="a\?b\?c"( |$)/);
  t.match(exactJson(turned), '"client_id":"a\\u202eb\\u2028c"');
});

t.test('an export has every event, the oldest first, as JSON lines or as CSV that is no formula', async (t) => {
  const stored = await rowsOf(database, 'audit_events', 'true ORDER BY at, id');
  const { stdout: lines } = await keyturn(['audit', 'export']);
  const events = lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.same(
    events.map(({ id }) => id),
    stored.map(({ id }) => String(id)),
  );
  t.match(
    events.find(({ event }) => event === 'login.failed'),
    { user_agent: FORMULA, details: { reason: 'invalid_credentials' } },
  );

  const { stdout: csv } = await keyturn(['audit', 'export', '--format', 'csv', '--event', 'login.failed']);
  const [head, row, end] = csv.split('\r\n');
  t.equal(head, Object.keys(events[0]).join(','));
  t.equal(end, '');
  t.match(row, `,the-request,"{""reason"":""invalid_credentials""}"`);
  t.match(row, `,"'=HYPERLINK(""https://evil.example"",""click"")",`);
});

t.test('tail shows the latest events, and then those that come, each once', async (t) => {
  const attempt = () => service.post('/v1/login', sly);
  const late = async () => {
    clock.advance(5);
    await service.login();
    // One that could not be seen before, and is older.
    clock.advance(-20);
    await attempt();
    clock.advance(20);
  };
  // Of one moment, and not to be shown.
  await attempt();
  await attempt();
  const followed = await keyturn(['audit', 'tail', '--lines', '1', '--event', 'login.*', '--json'], {
    meanwhile: [attempt, async () => {}, late, async () => {}],
  });
  t.match(followed, { code: 1, stderr: 'keyturn: interrupted\n' });
  const shown = followed.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.same(
    shown.map(({ event }) => event),
    ['login.failed', 'login.failed', 'login.failed', 'login.succeeded'],
  );
  t.equal(new Set(shown.map(({ id }) => id)).size, shown.length);

  t.match(await keyturn(['audit', 'tail', '--no-follow', '--lines', '2']), {
    code: 0,
    stdout: /^(.*\n){2}$/,
    stderr: '',
  });
  t.match(await keyturn(['audit', 'tail'], { alone: true }), { code: 0, stderr: /no service is running/ });
});

t.test('verify proves the trail, and tells its head', async (t) => {
  await seal();
  await service.login();
  await seal();
  await service.post('/v1/login', { email: 'ada@example.com', password: PASSWORD });
  const so = await json(['audit', 'verify']);
  const heads = (await rowsOf(database, 'audit_seals', 'true ORDER BY sequence')).map(({ hash }) =>
    Buffer.from(hash as Uint8Array).toString('hex'),
  );
  t.match(so, {
    whole: true,
    seals: 2,
    unsealed: 1,
    beginning: null,
    head: { seal: 2, hash: heads[1] },
    problem: null,
  });
  t.match(await keyturn(['audit', 'verify']), {
    code: 0,
    stdout: new RegExp(`^whole .*\nunsealed .*\nhead +${heads[1]}`),
  });
  for (const head of heads) t.match(await json(['audit', 'verify', '--head', head]), { whole: true });
  const cut = await keyturn(['audit', 'verify', '--head', 'f'.repeat(64)]);
  t.match(cut, { code: 1, stdout: '', stderr: /^keyturn: the audit trail is not whole: the head is not there: .*\n$/ });
  t.match(await keyturn(['audit', 'verify', '--head', 'x']), { code: 2 });
});

t.test('verify names the first thing amiss, and ends with 1', async (t) => {
  const [{ id } = { id: 0 }] = await rowsOf(database, 'audit_events', `event = 'login.failed' ORDER BY id`);
  await execute(database, 'ALTER TABLE audit_events DISABLE TRIGGER USER');
  await execute(database, `UPDATE audit_events SET ip = '192.0.2.66' WHERE id = ${id}`);
  const told = { code: 1, stderr: `keyturn: the audit trail is not whole: seal 1: event ${id}: was changed\n` };
  t.match(await keyturn(['audit', 'verify']), { ...told, stdout: '' });
  const { stdout, ...rest } = await keyturn(['audit', 'verify', '--json']);
  t.match(rest, told);
  t.match(JSON.parse(stdout), { whole: false, problem: { problem: 'event_changed', seal: 1, event: String(id) } });
});
