import { Command, Option } from 'commander';
import type {
  AdminWebhook,
  CreatedWebhook,
  DeliveryList,
  Retried,
  RotatedWebhookSecret,
  WebhookDelivery,
  WebhookList,
} from '../http/admin/webhook-routes.js';
import { type Context, WrongUsage } from './context.js';
import {
  card,
  collect,
  confirm,
  type Page,
  queryOf,
  type Shared,
  show,
  showPage,
  table,
  withJson,
  withPage,
  withYes,
} from './options.js';

const ALL = '/v1/admin/webhooks';
const pathOf = (id: string) => `${ALL}/${encodeURIComponent(id)}`;

function stateOf({ disabled_at, disabled_reason, failing_since }: AdminWebhook): string {
  if (disabled_at !== null) return `disabled ${disabled_at} (${disabled_reason})`;
  return failing_since === null ? 'active' : `failing since ${failing_since}`;
}

const asTable = (webhooks: readonly AdminWebhook[]) =>
  table(
    ['id', 'kek', 'url', 'events', 'state', 'description'],
    webhooks.map((webhook) => [
      webhook.id,
      webhook.kek,
      webhook.url,
      webhook.events.join(' '),
      stateOf(webhook),
      webhook.description ?? '',
    ]),
  );

const asCard = ({ id, url, events, description, created_at, previous_secret_until, kek, ...state }: AdminWebhook) =>
  card({
    id,
    url,
    events,
    description: description ?? '',
    state: stateOf({ id, url, events, description, created_at, previous_secret_until, kek, ...state }),
    created_at,
    kek,
    ...(previous_secret_until === null ? {} : { previous_secret_until }),
  });

const withSecret = (text: string, secret: string) => `${text}\nsecret  ${secret}\nThe secret is not shown again.`;

const deliveryTable = (deliveries: readonly WebhookDelivery[]) =>
  table(
    ['id', 'event', 'state', 'attempts', 'made', 'last', 'answer', 'next'],
    deliveries.map(({ id, event, state, attempts, made_at, last_at, status, error, next_at }) => [
      ...[id, event, state, String(attempts), made_at, last_at ?? '-'],
      ...[String(status ?? error ?? '-'), next_at ?? '-'],
    ]),
  );

interface Settings extends Shared {
  url?: string;
  event?: string[];
  description?: string;
  disable?: true;
  enable?: true;
}

const withSettings = (command: Command): Command =>
  command
    .option('--event <event>', 'login.failed, login.* or *; repeat for several', collect)
    .option('--description <text>', 'for people');

export const webhooksCommand = (context: Context): Command => {
  const webhooks = new Command('webhooks').description('Where security events are sent to, and what came of it');
  const { administration, terminal } = context;
  const example = (text: string) => `\nExample:\n  keyturn webhooks ${text}`;
  const ID = '019b2f60-4a1e-7c3b-9d50-6f2a1c0e8b77';

  withJson(withSettings(webhooks.command('create').requiredOption('--url <url>', 'https:, where they are sent to')))
    .description('Make a webhook; its secret is printed once')
    .addHelpText('after', example('create --url https://siem.example.com/keyturn --event "login.*"'))
    .action(({ url, event, description, ...options }: Settings, command: Command) => {
      if (event === undefined) command.error("error: required option '--event <event>' not specified");
      return administration(async (call) => {
        const webhook = await call<CreatedWebhook>('POST', ALL, { url, events: event, description });
        const { secret, ...rest } = webhook;
        show(context, options, webhook, () => withSecret(asCard(rest), secret));
      });
    });

  withJson(webhooks.command('list'))
    .description('The webhooks, the oldest first')
    .addHelpText('after', example('list'))
    .action((options: Shared) =>
      administration(async (call) => {
        const list = await call<WebhookList>('GET', ALL);
        show(context, options, list, () => asTable(list.webhooks));
      }),
    );

  withJson(webhooks.command('show <id>'))
    .description('One webhook')
    .addHelpText('after', example(`show ${ID}`))
    .action((id: string, options: Shared) =>
      administration(async (call) => {
        const webhook = await call<AdminWebhook>('GET', pathOf(id));
        show(context, options, webhook, () => asCard(webhook));
      }),
    );

  withJson(withSettings(webhooks.command('update <id>').option('--url <url>', 'where they are sent to')))
    .description('Change what is named; the list of events is replaced')
    .option('--disable', 'send nothing more, and give up what is pending')
    .option('--enable', 'send what happens from now on')
    .addHelpText('after', example(`update ${ID} --event "login.*" --event "user.*"`))
    .action((id: string, { url, event, description, disable, enable, ...options }: Settings) => {
      if (disable && enable) throw new WrongUsage('--disable or --enable');
      const disabled = disable || (enable ? false : undefined);
      const changes = { url, events: event, description: description === '' ? null : description, disabled };
      return administration(async (call) => {
        const webhook = await call<AdminWebhook>('PATCH', pathOf(id), changes);
        show(context, options, webhook, () => asCard(webhook));
      });
    });

  withYes(withJson(webhooks.command('delete <id>')))
    .description('Delete a webhook with what it has not taken')
    .addHelpText('after', example(`delete ${ID} --yes`))
    .action((id: string, options: Shared) =>
      administration(async (call) => {
        const { url } = await call<AdminWebhook>('GET', pathOf(id));
        await confirm(context, options, `Delete the webhook to ${url}, and what it has not taken?`);
        const deleted = await call<AdminWebhook>('DELETE', pathOf(id));
        show(context, options, { deleted }, () => `deleted ${deleted.id}`);
      }),
    );

  withJson(webhooks.command('rotate-secret <id>'))
    .description('Give a webhook another secret, printed once; the one before signs too, for a day')
    .addHelpText('after', example(`rotate-secret ${ID}`))
    .action((id: string, options: Shared) =>
      administration(async (call) => {
        const rotated = await call<RotatedWebhookSecret>('POST', `${pathOf(id)}/secret`);
        const { secret, previous_secret_until: until } = rotated;
        const before = until === null ? 'The one before could not be opened, and signs no more.' : `until   ${until}`;
        show(context, options, rotated, () => `${withSecret(`id      ${id}`, secret)}\n${before}`);
      }),
    );

  withJson(webhooks.command('test <id>'))
    .description('Send a webhook.test')
    .addHelpText('after', example(`test ${ID}`))
    .action((id: string, options: Shared) =>
      administration(async (call, alone) => {
        const delivery = await call<WebhookDelivery>('POST', `${pathOf(id)}/test`);
        show(context, options, delivery, () => deliveryTable([delivery]));
        if (alone) terminal.note('no service is running: it is sent when one does');
        else if (!options.json) terminal.note(`what came of it: keyturn webhooks deliveries ${id}`);
      }),
    );

  withPage(withJson(webhooks.command('deliveries <id>')))
    .description('What was sent to a webhook, or is to be, the newest first')
    .addOption(new Option('--state <state>').choices(['pending', 'delivered', 'failed']))
    .addHelpText('after', example(`deliveries ${ID} --state failed`))
    .action((id: string, { state, limit, cursor, ...options }: Page & { state?: string }) =>
      administration(async (call) => {
        const list = await call<DeliveryList>('GET', `${pathOf(id)}/deliveries${queryOf({ state, limit, cursor })}`);
        showPage(context, options, list, ({ deliveries }) => deliveryTable(deliveries));
      }),
    );

  withJson(webhooks.command('retry <id> [delivery]'))
    .description('Send again, now, what has failed or waits to be tried again: one delivery, or all')
    .addHelpText('after', example(`retry ${ID}`))
    .action((id: string, delivery: string | undefined, options: Shared) =>
      administration(async (call) => {
        const retried = await call<Retried>('POST', `${pathOf(id)}/retries`, { delivery_id: delivery });
        show(context, options, retried, () => `${retried.retried} are sent again`);
      }),
    );

  return webhooks;
};
