/** docs/audit.md: its commands find what they are said to find, its examples have its hashes, and its grants bind. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decodeJwt } from 'jose';
import t from 'tap';
import { createAuditSeals } from '../../src/adapters/postgres/audit-seals.js';
import { connectPostgres } from '../../src/adapters/postgres/database.js';
import { migrate } from '../../src/adapters/postgres/migrate.js';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { adminTokens } from '../support/administrator.js';
import { commandsOn } from '../support/command-line.js';
import { postgresUrl, withoutPostgres } from '../support/databases.js';
import { codeOf, execute, PASSWORD, startService } from '../support/service.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const document = readFileSync(`${root}docs/audit.md`, 'utf8');
const blocks = (language: string): string[] =>
  [...document.matchAll(new RegExp(`^ *\`\`\`${language}\\n(.*?)^ *\`\`\`$`, 'gms'))].map(([, text = '']) => text);
const commands = blocks('sh')
  .flatMap((block) => block.split('\n'))
  .map((line) => line.trim())
  .filter((line) => line.startsWith('keyturn '));

const PHONE = '192.0.2.7';

t.test('the commands say what a token did, and since when', async (t) => {
  const service = await startService(t, { env: { TRUST_PROXY: '127.0.0.1' } });
  const app = await buildLocalApp(service.services, createLogger('silent'));
  t.teardown(() => app.close());
  const { keyturn } = commandsOn(app);
  // The story: a phone logs in, and with its access token somebody ends the session of the laptop.
  await service.register();
  const laptop = await service.login();
  const login = { email: 'ada@example.com', password: PASSWORD };
  const phone = (await service.post('/v1/login', login, { 'x-forwarded-for': PHONE })).json();
  await service.call({
    method: 'DELETE',
    url: `/v1/sessions/${laptop.session_id}`,
    headers: { authorization: `Bearer ${phone.access_token}`, 'x-forwarded-for': PHONE },
  });
  await service.services.auditSealing.run();

  const variables: Record<string, string> = {
    SID: phone.session_id,
    JTI: String(decodeJwt(phone.access_token).jti),
    PERSON: 'ada@example.com',
    ADDRESS: PHONE,
  };
  const said: string[] = [];
  for (const command of commands) {
    const [, ...args] = (command.split(' > ', 1)[0] ?? '')
      .split(' ')
      .map((word) => word.replace(/^"\$(\w+)"$/, (_, name) => variables[name] ?? ''));
    // Times in the document are as long ago as the machine's clock says, which the test's is far behind.
    const recent = args.filter((_, i) => args[i] !== '--since' && args[i - 1] !== '--since');
    const { code, stdout, stderr } = await keyturn(recent, { meanwhile: [] });
    const isTail = args[1] === 'tail';
    t.match({ code, stderr }, isTail ? { code: 1, stderr: /interrupted/ } : { code: 0, stderr: '' }, command);
    said.push(stdout);
  }
  const [begun = '', session = '', token = '', address = '', person = '', verified = '', jsonLines = '', csv = ''] =
    said;
  t.match(begun, new RegExp(`^\\S+ {2}login\\.succeeded .*session_id=${phone.session_id}.*ip=${PHONE}`));
  for (const found of [session, token, address])
    t.match(found, new RegExp(`session\\.ended .*session_id=${laptop.session_id} .*by_session_id=${phone.session_id}`));
  t.equal(token.trimEnd().split('\n').length, 1, 'what this token did, and no more');
  t.equal(session.trimEnd().split('\n').length, 2);
  t.equal(person.trimEnd().split('\n').length, 4);
  t.match(verified, /^whole {5}\d+ events in 1 seals\n/);
  t.equal(jsonLines.trimEnd().split('\n').length, 4);
  t.match(csv, /^id,at,event,/);
  t.equal(said.length, 9, 'every command was tried');
});

t.test('what the examples are said to hash to they hash to', async (t) => {
  const sha256 = (text: string | Buffer) => createHash('sha256').update(text).digest('hex');
  const [event = '', seal = ''] = blocks('json').map((block) => block.trim());
  const [ofEvent = '', ofSeal = ''] = [...document.matchAll(/has the hash `([0-9a-f]{64})`/g)].map(([, hash]) => hash);
  t.equal(sha256(event), ofEvent);
  t.equal(sha256(seal), ofSeal);
  t.equal(JSON.parse(seal).events, sha256(Buffer.from(ofEvent, 'hex')));
  const { eventHash, sealOf, CHAIN_START } = await import('../../src/domain/audit-chain.js');
  t.equal(eventHash(JSON.parse(event)).toString('hex'), ofEvent);
  const { sealed_at: sealedAt } = JSON.parse(seal);
  t.match(sealOf(CHAIN_START, [JSON.parse(event)], new Date(sealedAt)), { hash: ofSeal });
});

t.test('every event is in the table, and the table has no others', async (t) => {
  const source = readFileSync(`${root}src/domain/types.ts`, 'utf8');
  const [, union = ''] = /^export interface AuditEvent .*?^ {2}event:\n(.*?);/ms.exec(source) ?? [];
  const events = [...union.matchAll(/'([a-z_.]+)'/g)].map(([, name]) => name);
  t.ok(events.length > 20);
  const rows = [...document.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([a-z_.]+)`/g)].map(([, name]) => name),
  );
  t.same(rows.sort(), events.sort());
});

t.test(
  'a service with a role of its own does its work, and cannot change the trail',
  { skip: withoutPostgres },
  async (t) => {
    const url = new URL(await postgresUrl(t));
    const owner = connectPostgres({ url: url.href, max: 1, onIdleError: () => {} });
    const role = `keyturn_${randomBytes(4).toString('hex')}`;
    await execute(owner, `CREATE ROLE ${role} LOGIN`);
    for (const statement of blocks('sql').join('').split(';\n').filter(Boolean))
      await execute(owner, statement.replace(/TO keyturn$/, `TO ${role}`));
    t.teardown(async () => {
      await execute(owner, `DROP OWNED BY ${role}`);
      await execute(owner, `DROP ROLE ${role}`);
      await owner.close();
    });
    url.username = role;
    const database = connectPostgres({ url: url.href, max: 5, onIdleError: () => {} });
    t.teardown(() => database.close());

    t.same(await migrate(database, async () => {}), [], 'it starts where nothing is to be migrated');
    const service = await startService(t, { database });
    await service.register();
    const { refresh_token: token } = await service.login();
    t.equal((await service.refresh(token)).statusCode, 200);
    t.equal(
      codeOf(await service.post('/v1/login', { email: 'ada@example.com', password: 'x' })),
      'invalid_credentials',
    );
    const admin = await adminTokens(service);
    t.equal((await service.get('/v1/admin/audit', admin.access_token)).statusCode, 200);
    const { administration, auditSealing, cleanUp, revocations } = service.services;
    const by = { actor: 'cli:ops', userId: null, caller: { ip: null, place: null, userAgent: null, requestId: null } };
    await administration.revocations.revoke({ kind: 'jti', value: 'x' }, by);
    await administration.users.delete(admin.id, by);
    await revocations.follow();
    t.match(await auditSealing.run(), [{ sequence: 1 }]);
    t.match(await cleanUp.run(), { audit_events: 0 });
    t.match(await administration.audit.verify(null), { problem: null, seals: [{ sequence: 1 }] });

    for (const table of ['audit_events', 'audit_seals']) {
      for (const change of [
        ...[`DELETE FROM ${table}`, `UPDATE ${table} SET ${table === 'audit_seals' ? 'form = 1' : 'ip = NULL'}`],
        ...[`TRUNCATE ${table}`, `ALTER TABLE ${table} DISABLE TRIGGER USER`, `DROP TABLE ${table}`],
      ])
        await t.rejects(execute(database, change), { code: '42501' }, change);
    }
    await t.rejects(
      database.transaction(async (sql) => {
        await sql.query({ name: '', text: `SELECT set_config('keyturn.audit_expiring', 'on', true)` }, []);
        await sql.query({ name: '', text: 'DELETE FROM audit_events' }, []);
      }),
      { code: '42501' },
      'whatever it says it is doing',
    );
    for (const id of [1, 10n ** 12n])
      await t.rejects(
        execute(
          database,
          `INSERT INTO audit_events (id, at, event, outcome, actor) VALUES (${id}, now(), 'login.failed', 'failure', 'x')`,
        ),
        { code: '42501' },
        'the place of an event is not for it to choose',
      );
    await t.rejects(execute(database, 'CREATE TABLE x (y integer)'), { code: '42501' });
    t.equal(await createAuditSeals(database).expire(new Date(), 0, 1000), 0, 'and retention is done by the function');
  },
);
