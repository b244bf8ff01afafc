export interface MadeWhenUsed<T> {
  /** Rejects where it cannot be made, which is then tried again by whoever asks next. */
  get(): Promise<T>;
  /** Null where nobody has asked for it, or it could not be made. */
  ifMade(): Promise<T | null>;
}

/** Made for the first one who asks, for all. A failure is not kept: it would last for as long as the process. */
export function madeWhenUsed<T>(make: () => Promise<T>): MadeWhenUsed<T> {
  let made: Promise<T> | null = null;
  return {
    get() {
      made ??= make().catch((error) => {
        made = null;
        throw error;
      });
      return made;
    },
    ifMade: async () => made?.catch(() => null) ?? null,
  };
}
