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
  let active = 0;
  let isPlanned = false;

  async function call(served: readonly Waiting<Item, Result>[]): Promise<void> {
    active++;
    let isCounted = true;
    const over = () => {
      if (isCounted) active--;
      isCounted = false;
      plan();
    };
    const timer = setTimeout(over, SLOW_MS);
    try {
      const results = await serve(served.map(({ item }) => item));
      for (const [i, { resolve }] of served.entries()) resolve(results[i] as Result | Promise<Result>);
    } catch (error) {
      for (const { reject } of served) reject(error);
    }
    clearTimeout(timer);
    over();
  }

  function plan(): void {
    if (isPlanned || waiting.length === 0 || active >= atOnce) return;
    isPlanned = true;
    // All whose requests have arrived by now are read in this turn.
    setImmediate(() => {
      isPlanned = false;
      while (waiting.length > 0 && active < atOnce) void call(waiting.splice(0, sizeFor(waiting.length)));
    });
  }

  return (item: Item): Promise<Result> =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      plan();
    });
}
