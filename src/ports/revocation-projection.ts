import type { Revocable, Revocation } from '../domain/revocation.js';

/**
 * The live revocations where all nodes see them, made from the store, and who of the nodes holds a copy.
 *
 * It is whole, or it knows that it is not: after a restart, a flush or a failover `null` says that it has to be rebuilt
 * before anything can be told from it. A node that holds everything up to the projection's head may trust its copy for
 * a lease (LEASE_MS), counted from before it asked; nothing is enforced before every such node has said that it holds
 * the new head, or its lease is over. All methods reject when the projection can't be reached.
 */
export interface RevocationProjection {
  /**
   * This node holds everything up to `head`. Resolves to the projection's head; the lease is granted where that is not
   * beyond `head`.
   */
  renew(head: number): Promise<number | null>;
  /**
   * Adds `batch`, which is everything after `from` as far as it goes, and tells the nodes. Resolves to the head: below
   * `from` nothing was added, since something between them is missing.
   */
  publish(from: number, batch: readonly Revocation[]): Promise<number | null>;
  /** Other nodes that may hold a lease without `head`. */
  behind(head: number): Promise<string[]>;
  /** Forgets those of the nodes that still are behind. Their leases must be over. */
  drop(nodes: readonly string[], head: number): Promise<void>;
  /** Whether a rule concerns the token. */
  ask(token: Revocable): Promise<boolean | null>;
  /**
   * Makes it whole again with what `load` gives, unless another node is at it (then false): everything up to what `last`
   * resolved to before. Waits until no lease from before can be left.
   */
  rebuild(last: () => Promise<number>, load: () => AsyncIterable<readonly Revocation[]>): Promise<boolean>;
  /** What any node publishes: as in `publish`. */
  listen(listener: (from: number, batch: readonly Revocation[]) => void): void;
}

/** How long a node trusts its copy after it was known to be complete. Milliseconds. */
export const LEASE_MS = 1_000;
/** After which a lease that somebody else was given is over, though his clock be a little slower. Milliseconds. */
export const LEASE_OVER_MS = LEASE_MS + 10;
