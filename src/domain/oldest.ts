/**
 * What has been in a map for longest, again and again. An iterator that is made anew each time goes past the places of all
 * that were deleted before, up to 60 µs in a large map; one that goes on has them behind it.
 */

/** Deletes the oldest key, at each call. */
export function createForgetOldest<Key>(map: Map<Key, unknown>): () => void {
  let keys = map.keys();
  return () => {
    let next = keys.next();
    if (next.done === true) {
      // It has met the end of an empty map, and sees nothing that came later.
      keys = map.keys();
      next = keys.next();
    }
    if (next.done !== true) map.delete(next.value);
  };
}
