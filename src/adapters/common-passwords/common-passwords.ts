import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
/** Found at the start: Node looks for a package once, and where it could open no file then it says for ever that there is none. */
const LIST = require.resolve('@zxcvbn-ts/language-common');

/**
 * The passwords that everybody tries first: the list of zxcvbn-ts, some 49,000 entries in lower case. Loaded for the first
 * password that somebody wants; it then takes 5 MB. By `require`, which tries again what failed: `import` does not.
 */
export async function isCommonPassword(lowerCase: string): Promise<boolean> {
  const { dictionary }: typeof import('@zxcvbn-ts/language-common') = require(LIST);
  // A third of a millisecond beside a hash of fifty, and no second structure in memory.
  return dictionary['passwords-common'].includes(lowerCase);
}
