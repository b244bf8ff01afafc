/** Clients that do not wait for their answer: what they began goes on, and is accounted for. */
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { fastDatabase } from '../support/databases.js';
import { samplesOf } from '../support/metrics.js';
import { eventually } from '../support/process.js';
import { noteSecret } from '../support/run-log.js';
import { rowOf, startService } from '../support/service.js';

/** A database whose rotations wait until `release` is called. */
function held(database: Database) {
  let release: () => void = () => {};
  let begin: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow: Database = {
    ...database,
    async query(statement, values) {
      if (statement.name === 'session_rotate') {
        begin();
        await released;
      }
      return database.query(statement, values);
    },
  };
  return { slow, begun, release: () => release() };
}

t.test('a refresh whose client hangs up is in the log and in the measurements', async (t) => {
  const { slow, begun, release } = held(await fastDatabase(t));
  const service = await startService(t, { database: slow });
  await service.app.listen({ host: '127.0.0.1', port: 0 });
  await service.register();
  const { refresh_token, session_id } = await service.login();
  noteSecret('a-key-of-one-who-hangs-up');

  const address = service.app.server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const body = JSON.stringify({ refresh_token });
  const accepted = once(service.app.server, 'connection');
  const client = connect(address.port, '127.0.0.1');
  client.write(
    `POST /v1/refresh HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: a-key-of-one-who-hangs-up\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  const [socket] = await accepted;
  await begun;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  client.resetAndDestroy();
  await closed;
  release();

  const line = () => service.logs.find(({ path }) => path === '/v1/refresh');
  await eventually(
    () => line() !== undefined,
    () => 'there is no line of it',
  );
  t.match(line(), { status: 200, code: 'rotated', sid: session_id, ip: '127.0.0.1', hung_up: true });
  t.match(await rowOf(service.database, 'sessions'), { generation: 1 });
  const counts = samplesOf(await service.metrics.text(), 'keyturn_http_request_duration_seconds_count');
  t.equal(counts['method="POST",route="/v1/refresh",status="200"'], 1);

  const retried = await service.refresh(refresh_token, 'a-key-of-one-who-hangs-up');
  t.equal(retried.headers['keyturn-refresh-outcome'], 'replayed');
  t.equal(service.logs.filter(({ path }) => path === '/v1/refresh').length, 2, 'one line each');
  t.equal(service.logs.filter(({ hung_up }) => hung_up === true).length, 1);
});
