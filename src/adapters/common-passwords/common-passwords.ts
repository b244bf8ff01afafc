/**
 * The passwords that everybody tries first: the list of zxcvbn-ts, some 49,000 entries in lower case. Loaded for the first
 * password that somebody wants; it then takes 5 MB.
 */
export async function isCommonPassword(lowerCase: string): Promise<boolean> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  // A third of a millisecond beside a hash of fifty, and no second structure in memory.
  return dictionary['passwords-common'].includes(lowerCase);
}
