/** Documents that name the test which shows what they say: whether the test is there. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** Files that run the table of forged tokens have the names of their tests from it. */
const ATTACKS = ['attacks-claims.ts', 'attacks-form.ts', 'attacks-keys.ts'].map((name) => `test/support/${name}`);

export interface NamedTest {
  /** From the root of the repository. */
  file: string;
  name: string;
}

/** `…` stands for what a test's name is filled in with. */
function isIn(source: string, name: string): boolean {
  const parts = name.split('…').map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`['\`]${parts.join('.*')}['\`]`).test(source);
}

const sources = new Map<string, string>();

function sourceOf(file: string): string {
  const known = sources.get(file);
  if (known !== undefined) return known;
  const own = readFileSync(`${root}${file}`, 'utf8');
  const source = [own, ...(/\battacks\(/.test(own) && file.endsWith('.test.ts') ? ATTACKS.map(sourceOf) : [])].join('');
  sources.set(file, source);
  return source;
}

function isThere({ file, name }: NamedTest): boolean {
  try {
    return isIn(sourceOf(file), name);
  } catch {
    return false;
  }
}

export const missingTests = (named: readonly NamedTest[]): NamedTest[] => named.filter((test) => !isThere(test));
