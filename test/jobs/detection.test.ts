import t from 'tap';
import { within } from '../../src/adapters/system/within.js';
import type { Alarm } from '../../src/domain/alarms.js';
import type { Detection } from '../../src/domain/detection.js';
import type { SessionId, UserId } from '../../src/domain/types.js';
import { startDetection } from '../../src/jobs/detection.js';

const alarm: Alarm = {
  action: 'flag',
  userId: 'the user' as UserId,
  sessionId: 'the session' as SessionId,
  clientId: 'shop',
  score: 4.567,
  findings: [{ signal: 'new_continent', weight: 3, why: 'Oceania (Sydney), before only Europe' }],
};

function start(run: () => Promise<void>) {
  const lines: [level: string, fields: Record<string, unknown>, text: string][] = [];
  const noting = (level: string) => (fields: Record<string, unknown>, text: string) =>
    lines.push([level, fields, text]);
  const log = { info: noting('info'), warn: noting('warn') } as unknown as Parameters<typeof startDetection>[1];
  const listeners: ((alarm: Alarm) => void)[] = [];
  const detection: Detection = { observe() {}, run, onAlarm: (listener) => listeners.push(listener) };
  const stop = startDetection(detection, log, within);
  const raise = (alarm: Alarm) => {
    for (const listener of listeners) listener(alarm);
  };
  return { lines, stop, raise };
}

t.test(
  'a session that looks stolen is a line that says whose and why, a warning where something is done',
  async (t) => {
    const { lines, stop, raise } = start(async () => {});
    raise(alarm);
    raise({ ...alarm, action: 'observe' });
    await stop();
    const about = { sub: 'the user', sid: 'the session', client_id: 'shop', score: 4.57 };
    const findings = ['new_continent: Oceania (Sydney), before only Europe'];
    t.strictSame(lines, [
      ['warn', { action: 'flag', ...about, findings }, 'a session looks stolen'],
      ['info', { action: 'observe', ...about, findings }, 'a session is used oddly'],
    ]);
  },
);

t.test('what waits when the service stops is judged', async (t) => {
  let runs = 0;
  const { lines, stop } = start(async () => {
    runs++;
  });
  await stop();
  t.equal(runs, 1);
  t.strictSame(lines, []);
});

t.test('a database that is away is told of, and holds up no stop', async (t) => {
  const { lines, stop } = start(async () => {
    throw new Error('away');
  });
  await stop();
  await stop();
  t.match(lines, [['warn', { failures: 1 }, String]]);
  t.equal(lines.length, 1, 'once in a while');
});
