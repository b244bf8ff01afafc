import t from 'tap';
import type { WebhookReport } from '../../src/domain/webhook-sending.js';
import { webhookTeller } from '../../src/jobs/webhooks.js';

const about = { webhook: 'w', host: 'siem.example.com', delivery: 'd' };

function setUp() {
  const lines: [level: string, fields: object, message: string][] = [];
  let now = 0;
  const at = (level: string) => (fields: object, message: string) => void lines.push([level, fields, message]);
  const log = { info: at('info'), warn: at('warn'), error: at('error') };
  const tell = webhookTeller(log as Parameters<typeof webhookTeller>[0], () => now);
  const advance = (seconds: number) => {
    now += seconds * 1000;
  };
  return { lines, tell, advance };
}

t.test('what somebody has to mend is an error, with what he needs to know', async (t) => {
  const { lines, tell } = setUp();
  const news: WebhookReport['news'][] = ['failing', 'given_up', 'disabled', 'recovered', 'unsettled'];
  for (const one of news) tell({ news: one, ...about, result: { status: 500, retryAfterS: null } });
  t.same(
    lines.map(([level]) => level),
    ['warn', 'error', 'error', 'info', 'warn'],
  );
  for (const [, fields] of lines) t.match(fields, { ...about, result: { status: 500 } });
});

t.test('what cannot be signed is told of once in ten minutes, for each webhook', async (t) => {
  const { lines, tell, advance } = setUp();
  const unsigned = (webhook: string) => tell({ news: 'unsigned', ...about, webhook, kek: 'k1' });
  for (const webhook of ['a', 'a', 'b']) unsigned(webhook);
  advance(599);
  unsigned('a');
  advance(1);
  unsigned('a');
  t.match(lines, [
    ['error', { webhook: 'a', kek: 'k1' }],
    ['error', { webhook: 'b' }],
    ['error', { webhook: 'a' }],
  ]);
  t.equal(lines.length, 3);
  for (let n = 0; n < 3; n++) tell({ news: 'unfilled', webhook: 'a', error: new Error('canceling statement') });
  t.match(lines.slice(3), [['error', { webhook: 'a', err: /canceling/ }]]);
  t.equal(lines.length, 4, 'nor is what cannot be made into deliveries');
});
