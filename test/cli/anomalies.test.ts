/** keyturn anomalies: on the routes of a service, in the test's own process. */
import t from 'tap';
import { createAuditLog } from '../../src/adapters/postgres/audit.js';
import { auditEvent } from '../../src/domain/audit.js';
import type { SessionId, UserId } from '../../src/domain/types.js';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { commandsOn } from '../support/command-line.js';
import { startService } from '../support/service.js';

const service = await startService(t);
const app = await buildLocalApp(service.services, createLogger('silent'));
t.teardown(() => app.close());
const { keyturn, json } = commandsOn(app);

const userId = (await service.register()) as UserId;
const { session_id } = await service.login();
const caller = { ip: '20.2.0.1', place: 'Sydney, AU', userAgent: 'curl/8.5.0', requestId: 'r' };
const findings = [{ signal: 'new_continent', weight: 3.1, why: 'Oceania (Sydney), before only Europe' }];
const about = { actor: 'service', userId, sessionId: session_id as SessionId, clientId: 'default' };
const at = service.clock.now();
const details = { action: 'flag', score: 4.2, findings };
const log = createAuditLog(service.database);
await log.append(auditEvent('session.flagged', 'success', at, caller, { ...about, details }));
service.clock.advance(60);
await log.append(auditEvent('session.stepped_up', 'success', service.clock.now(), caller, about));

t.test('what was done, to whom and why, the newest first', async (t) => {
  const { anomalies, next_cursor } = await json(['anomalies', 'list', '--user', 'ada@example.com']);
  t.match(anomalies, [
    { event: 'session.stepped_up' },
    { event: 'session.flagged', score: 4.2, findings, user_id: userId },
  ]);
  t.equal(next_cursor, null);
  const { stdout, code } = await keyturn(['anomalies', 'list']);
  t.equal(code, 0);
  t.match(stdout, new RegExp(`flag +4.2 +${userId} +${session_id} +Sydney, AU +Oceania`));
  t.match(stdout, /stepped_up/);
});

t.test('by time and page by page', async (t) => {
  const { anomalies } = await json(['anomalies', 'list', '--since', new Date(at + 1000).toISOString()]);
  t.match(anomalies, [{ event: 'session.stepped_up' }]);
  const { stderr } = await keyturn(['anomalies', 'list', '--limit', '1']);
  t.match(stderr, /there are more: --cursor/);
});

t.test('the policy of a client is one of those that there are', async (t) => {
  const create = ['clients', 'create', '--client-id', 'shop', '--audience', 'api'];
  t.match(await json(create), { anomaly_policy: 'flag' });
  t.match(await json(['clients', 'update', 'shop', '--anomaly-policy', 'step_up']), { anomaly_policy: 'step_up' });
  t.equal((await keyturn(['clients', 'update', 'shop', '--anomaly-policy', 'shout'])).code, 2);
  t.match(await service.services.administration.clients.find('shop'), { anomalyPolicy: 'step_up' });
});
