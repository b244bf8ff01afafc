/**
 * What a whole test run logs, and every secret that was used in it: test/after compares the two. Both are files in the
 * folder KEYTURN_TEST_LOGS, one a process, so that parallel tests do not meet.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.KEYTURN_TEST_LOGS;
if (folder !== undefined) mkdirSync(folder, { recursive: true });

export const logPath = (name: string): string | null =>
  folder === undefined ? null : join(folder, `${process.pid}-${name}.log`);

/** Appends what a service logged. */
export function keepLog(text: string): void {
  const path = logPath('app');
  if (path !== null) appendFileSync(path, text);
}

/** Too short to tell from chance. */
const MIN_TELLING_LENGTH = 6;
const known = new Set<string>();

export function noteSecret(...secrets: readonly unknown[]): void {
  for (const secret of secrets) {
    if (typeof secret !== 'string' || secret.length < MIN_TELLING_LENGTH || known.has(secret)) continue;
    known.add(secret);
    if (folder !== undefined) appendFileSync(join(folder, `${process.pid}.secrets`), `${JSON.stringify(secret)}\n`);
  }
}

const secretMembers = [
  'password',
  'current_password',
  'new_password',
  'refresh_token',
  'access_token',
  'client_secret',
  'device_token',
  'secret',
  'pem',
];

/** Notes the secrets in a body, JSON or form, sent or received. */
export function noteSecretsOf(body: unknown): void {
  if (typeof body === 'string') {
    try {
      noteSecretsOf(JSON.parse(body));
    } catch {
      noteSecretsOf(Object.fromEntries(new URLSearchParams(body)));
    }
  } else if (typeof body === 'object' && body !== null) {
    for (const name of secretMembers) noteSecret((body as Record<string, unknown>)[name]);
  }
}
