/**
 * A text of its own. One that was cut out of another keeps the whole of that alive: whoever remembers an address or a token
 * would remember all of the header that it came in, which may have 16 kB.
 */
export const copyOf = (text: string): string => Buffer.from(text).toString();
