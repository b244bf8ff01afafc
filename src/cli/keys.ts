import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { makeKek } from '../adapters/kek-files/kek-source.js';
import { systemClock } from '../adapters/system/clock.js';
import { systemRandom } from '../adapters/system/random.js';
import { readConfig } from '../config.js';
import { Refusal } from '../domain/errors.js';
import { signingAlgs } from '../domain/types.js';
import type { AdminKey, ImportedKey, KeyChange, KeyList } from '../http/admin/key-routes.js';
import type { Call } from './administration.js';
import type { Context } from './context.js';
import { confirm, parsed, type Shared, show, table, withJson, withYes } from './options.js';

const KEYS = '/v1/admin/keys';
const KID = /^[A-Za-z0-9_-]{43}$/;

const SECOND_MS = 1000;

/** KEKs have the second in which they are made as their name: who makes two in one waits for the next. */
async function newKek(folder: string): Promise<string> {
  try {
    return makeKek(folder, systemClock.now(), systemRandom);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // A timer may be early by a millisecond.
    await sleep(SECOND_MS - (systemClock.now() % SECOND_MS) + 1);
    return makeKek(folder, systemClock.now(), systemRandom);
  }
}

const kid = parsed((text) => {
  if (KID.test(text)) return text;
  throw 'a kid, 43 characters, as `keyturn keys list` shows it';
});

const asTable = (keys: readonly AdminKey[]) =>
  table(
    ['kid', 'alg', 'state', 'kek', 'published', 'next'],
    keys.map(({ kid, alg, state, kek, published_at, next }) => [
      kid,
      alg,
      state,
      kek ?? '-',
      published_at,
      next === null ? '-' : `${next.state} at ${next.at}`,
    ]),
  );

const outcomes = {
  done: 'done',
  scheduled: 'scheduled: it happens by itself',
  already: 'already so, nothing was changed',
};

const asText = ({ outcome, at, before, after }: KeyChange): string => {
  const when = at === null ? '' : `, ${at}`;
  const first = `${outcomes[outcome as keyof typeof outcomes]}${when}`;
  return [first, '', 'Before:', asTable(before), '', 'After:', asTable(after)].join('\n');
};

function showChange(context: Context, options: Shared, change: KeyChange, text: string): void {
  show(context, options, change, () => text);
  if (!change.announced)
    context.terminal.note('Redis cannot be reached: the other processes were not told, and follow within 30 seconds');
  if (!change.after.some(({ state }) => state === 'active'))
    context.terminal.note(
      'No key signs now: logins and refreshes are answered with 503 until a process of the service has made one, which each tries every 30 seconds; its log says what is in the way',
    );
}

/** A kid may begin with a dash, and is no option then; what is no kid either is refused as one. */
const withKid = (command: Command): Command =>
  command.argument('<kid>', 'as `keyturn keys list` shows it', kid).allowUnknownOption();

async function stateOf(call: Call, kid: string): Promise<string> {
  const { keys } = await call<KeyList>('GET', KEYS);
  const found = keys.find((key) => key.kid === kid);
  if (found === undefined) throw new Refusal('key_not_found', { detail: `There is no signing key ${kid}` });
  return found.state;
}

const COST =
  'Every token that it signed stops working at once, with unknown_key; clients refresh. Verifiers that cache keys accept these tokens until their cache is renewed: 5 minutes by the max-age of the JWKS, and longer with some libraries.';

export const keysCommand = (context: Context): Command => {
  const keys = new Command('keys').description('Signing keys and the keys that seal them');
  const { administration, terminal } = context;

  withJson(keys.command('list'))
    .description('Every signing key that there ever was, and what will become of it by itself')
    .addHelpText('after', '\nExample:\n  keyturn keys list')
    .action((options: Shared) =>
      administration(async (call) => {
        const list = await call<KeyList>('GET', KEYS);
        show(context, options, list, () => asTable(list.keys));
      }),
    );

  for (const [verb, description] of [
    ['rotate', 'Let another key sign: at once, or by itself as soon as verifiers know it'],
    ['rewrap', 'Seal every private key, and every secret of a webhook, under the newest key-encryption key'],
  ] as const) {
    withJson(keys.command(verb))
      .description(description)
      .addHelpText('after', `\nExample:\n  keyturn keys ${verb}`)
      .action((options: Shared) =>
        administration(async (call) => {
          const change = await call<KeyChange>('POST', `${KEYS}/${verb}`);
          showChange(context, options, change, asText(change));
        }),
      );
  }

  withKid(withJson(keys.command('promote')))
    .description('Let this pending key sign: at once, or by itself as soon as verifiers know it')
    .addHelpText('after', '\nExample:\n  keyturn keys promote yV8Bq7yPPC4fKcbJOOaBtPaBvqVxoWRXwqkWIvnPWbA')
    .action((kid: string, options: Shared) =>
      administration(async (call) => {
        const change = await call<KeyChange>('POST', `${KEYS}/${kid}/promote`);
        showChange(context, options, change, asText(change));
      }),
    );

  withKid(withYes(withJson(keys.command('revoke'))))
    .description('Trust this key no longer; without --compromised no token that is still good stops working')
    .option('--compromised', 'somebody else has the private key: skip every wait')
    .addHelpText('after', `\nWhat --compromised costs:\n  ${COST}`)
    .addHelpText('after', '\nExample:\n  keyturn keys revoke yV8Bq7yPPC4fKcbJOOaBtPaBvqVxoWRXwqkWIvnPWbA --compromised')
    .action((kid: string, { compromised = false, ...options }: Shared & { compromised?: boolean }) =>
      administration(async (call) => {
        const state = await stateOf(call, kid);
        const cost = compromised ? `\n${COST}\n` : ' ';
        await confirm(context, options, `The key ${kid} is ${state}.${cost}Revoke it for good?`);
        const change = await call<KeyChange>('POST', `${KEYS}/${kid}/revoke`, { compromised });
        showChange(context, options, change, asText(change));
      }),
    );

  withJson(keys.command('import <file>'))
    .description('Take a private key in PEM that was made elsewhere; it becomes pending, and signs when it is promoted')
    .addOption(new Option('--alg <alg>', 'default: SIGNING_ALG').choices([...signingAlgs]))
    .addHelpText('after', '\nExample:\n  keyturn keys import signing.pem --alg ES256')
    .action((file: string, { alg, ...options }: Shared & { alg?: string }) => {
      const pem = readFileSync(file, 'utf8');
      return administration(async (call) => {
        const imported = await call<ImportedKey>('POST', KEYS, { pem, alg });
        showChange(context, options, imported, `kid  ${imported.kid}\n${asText(imported)}`);
        terminal.note(`${file} still holds the private key: destroy it`);
      });
    });

  withJson(keys.command('new-kek'))
    .description('Make a new key-encryption key in KEYS_DIR; the newest one seals')
    .addHelpText('after', '\nExample:\n  KEYS_DIR=/etc/keyturn/keys keyturn keys new-kek')
    .action(async (options: Shared) => {
      const path = await newKek(readConfig(undefined, 'command').KEYS_DIR);
      show(context, options, { path }, () => `made ${path}; keep a copy of it with your backups`);
    });
  return keys;
};
