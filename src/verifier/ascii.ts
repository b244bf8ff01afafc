/** Texts of one byte a character, as tokens are. Where there is Node's Buffer, it does this in a quarter of the time. */
const { Buffer } = globalThis as { Buffer?: Pick<typeof globalThis.Buffer, 'from'> };

const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];

export const bytesOf = (text: string): Uint8Array => Buffer?.from(text, 'latin1') ?? encoder.encode(text);

/** A text of its own: one that was cut out of another keeps the whole of that alive. */
export const copyOf = (text: string): string =>
  Buffer?.from(text, 'latin1').toString('latin1') ?? decoder.decode(encoder.encode(text));
