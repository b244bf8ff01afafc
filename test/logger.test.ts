import t from 'tap';
import { createLogger } from '../src/logger.js';

/** The lines that `work` logs. */
function logged(work: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  work(createLogger('trace', { write: (line) => void lines.push(JSON.parse(line)) }));
  return lines;
}

t.test('what has the name of a secret is left out of a line, wherever it is', async (t) => {
  const body = { refresh_token: 'ktr_1', client_id: 'web', nested: { password: 'p', list: [{ pem: 'k', kid: 'a' }] } };
  const [line] = logged((log) => log.info({ body, authorization: 'Bearer x', ip: '192.0.2.1' }, 'request'));
  t.match(line, { ip: '192.0.2.1', body: { client_id: 'web', nested: { list: [{ kid: 'a' }] } }, msg: 'request' });
  t.notMatch(JSON.stringify(line), /ktr_1|Bearer|"p"|"k"|password|pem|authorization/);
  t.equal(body.refresh_token, 'ktr_1', 'what was logged is as it was');
});

t.test('so it is left out of what all lines of a child say', async (t) => {
  const [line] = logged((log) => log.child({ request_id: 'r1', access_token: 'jwt' }).warn({}, 'refused'));
  t.match(line, { request_id: 'r1', level: 'warn' });
  t.notOk(line && 'access_token' in line);
});

t.test(
  'an error is told by its kind, its message and its place, and nothing that a driver has put on it',
  async (t) => {
    const error = Object.assign(new Error('gone'), { code: 'ECONNREFUSED', password: 'p', query: 'SELECT' });
    const [line] = logged((log) => log.error({ err: error }, 'unexpected failure'));
    t.match(line, { err: { type: 'Error', message: 'gone', code: 'ECONNREFUSED', stack: /gone/ } });
    t.same(Object.keys((line as { err: object }).err).sort(), ['code', 'message', 'stack', 'type']);
  },
);

t.test('instants, and what lies too deep, do no harm', async (t) => {
  const loop: Record<string, unknown> = { at: new Date(0) };
  loop.self = loop;
  const [line] = logged((log) => log.info(loop, 'odd'));
  t.match(line, { at: '1970-01-01T00:00:00.000Z', msg: 'odd' });
});
