/** The passwords that everybody tries first: the list of zxcvbn-ts, some 49,000 entries in lower case. */
import { dictionary } from '@zxcvbn-ts/language-common';

const common: ReadonlySet<string> = new Set((dictionary as Record<string, readonly string[]>)['passwords-common']);

export const isCommonPassword = (lowerCase: string): boolean => common.has(lowerCase);
