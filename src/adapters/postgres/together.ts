/**
 * Whoever asks while others are being served is served together with all who do: what each call costs is paid once for
 * many, and the more there is to do, the less each of it costs. Nobody waits for company: where little is being done, a
 * call is made at the end of the event loop's turn, for one if there is but one.
 */
export interface Together<Item, Result> {
  /** Calls that keep others waiting. */
  atOnce: number;
  /** How many of so many that wait one call is to serve; at least one. */
  sizeFor(waiting: number): number;
  /** Resolves when the call is over, to a result for each item, in their order. */
  serve(items: readonly Item[]): Promise<readonly (Result | Promise<Result>)[]>;
}

interface Waiting<Item, Result> {
  item: Item;
  resolve(result: Result | Promise<Result>): void;
  reject(error: unknown): void;
}

/** A call that takes longer keeps nobody waiting any more. Milliseconds. */
const SLOW_MS = 50;

export function together<Item, Result>({ atOnce, sizeFor, serve }: Together<Item, Result>) {
  const waiting: Waiting<Item, Result>[] = [];
  /** Calls that are not slow yet. */
  let active = 0;
  /** Those whom slow calls serve. */
  let late = 0;
  let isPlanned = false;

  async function call(served: readonly Waiting<Item, Result>[]): Promise<void> {
    active++;
    let isSlow = false;
    const timer = setTimeout(() => {
      isSlow = true;
      active--;
      late += served.length - 1;
      // Whoever is to be served keeps to its own time limits, which begin with the call.
      while (waiting.length > 0) next();
    }, SLOW_MS);
    try {
      const results = await serve(served.map(({ item }) => item));
      for (const [i, { resolve }] of served.entries()) resolve(results[i] as Result | Promise<Result>);
    } catch (error) {
      for (const { reject } of served) reject(error);
    }
    clearTimeout(timer);
    if (isSlow) late -= served.length - 1;
    else active--;
    plan();
  }

  const next = () => void call(waiting.splice(0, sizeFor(waiting.length)));

  function plan(): void {
    if (isPlanned || waiting.length === 0 || active >= atOnce) return;
    isPlanned = true;
    // All whose requests have arrived by now are read in this turn.
    setImmediate(() => {
      isPlanned = false;
      while (waiting.length > 0 && active < atOnce) next();
    });
  }

  return {
    ask: (item: Item): Promise<Result> =>
      new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        plan();
      }),
    /** How many more are kept waiting by slow calls than there are slow calls. */
    late: () => late,
  };
}
