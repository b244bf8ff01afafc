/** How late this process is with all that it does. */
export interface EventLoop {
  /** Milliseconds by which its turns were late on average since this was last asked. */
  delay(): number;
}
