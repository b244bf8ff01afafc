/** Where a helper puts what has to be undone after its use. A `Test` is one; a script makes its own. */
export interface Scope {
  teardown(undo: () => unknown): void;
}
