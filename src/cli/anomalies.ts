import { Command } from 'commander';
import type { Anomaly, AnomalyPage } from '../http/admin/anomaly-routes.js';
import { instant } from './audit-pages.js';
import type { Context } from './context.js';
import { type Page, parsed, queryOf, showPage, table, withJson, withPage } from './options.js';
import { userIdOf } from './users.js';

const row = ({ at, event, action, score, user_id, session_id, place, findings }: Anomaly): string[] => [
  at,
  action ?? event.replace('session.', ''),
  score === null ? '' : String(score),
  user_id ?? '',
  session_id ?? '',
  place ?? '',
  findings.map(({ why }) => why).join('; '),
];

export const anomaliesCommand = (context: Context): Command => {
  const anomalies = new Command('anomalies').description('Sessions that look stolen');

  withPage(withJson(anomalies.command('list')))
    .description('What was done about them, and why, the newest first')
    .option('--user <user>', 'whose, by e-mail or id')
    .option(
      '--since <instant>',
      'from an instant on, or from how long ago: 2026-03-01T12:00:00Z, 2h, 7d',
      parsed(instant),
    )
    .addHelpText('after', '\nExample:\n  keyturn anomalies list --since 7d')
    .action(({ limit, cursor, user, since, ...options }: Page & { user?: string; since?: string }) =>
      context.administration(async (call) => {
        const whose = user === undefined ? undefined : await userIdOf(call, user);
        const query = queryOf({ user: whose, since, limit, cursor });
        const page = await call<AnomalyPage>('GET', `/v1/admin/anomalies${query}`);
        const head = ['at', 'what', 'score', 'user', 'session', 'place', 'why'];
        showPage(context, options, page, ({ anomalies }) => table(head, anomalies.map(row)));
      }),
    );

  return anomalies;
};
