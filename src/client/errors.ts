/**
 * What the client rejects with. `code` is the service's own (docs/errors.md), or
 * - `unavailable`: the service could not be reached, or could not answer, in time. Nothing is lost: the next call goes on with the same
 *   refresh token and the same Idempotency-Key;
 * - `no_randomness`: there is no `crypto.getRandomValues` here (React Native: import react-native-get-random-values).
 */
export class AuthError extends Error {
  override readonly name = 'AuthError';

  constructor(
    readonly code: string,
    message: string,
    /** The HTTP status; 0 where there was no answer. */
    readonly status = 0,
    /** Seconds after which it makes sense to try again; 0 when the service did not say. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}
