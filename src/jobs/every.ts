/** Runs `work` again and again, `seconds` after it last ended, until stopped. A failure is logged, and tried again. */
export function every(seconds: number, work: () => Promise<unknown>, onFailure: (error: unknown) => void): () => void {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const next = () => {
    if (stopped) return;
    timer = setTimeout(() => void work().catch(onFailure).finally(next), seconds * 1000);
    timer.unref();
  };
  next();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
