/** keyturn/verifier for Express, and for whatever else takes its kind of middleware upon `node:http`. */
import type { NodeRequest } from './bearer.js';
import { keepClaims } from './claims-of.js';
import { VerifyError } from './errors.js';
import type { Requirements, Verifier } from './verifier.js';

export { claimsOf } from './claims-of.js';

/** What is used of a response. */
export interface ExpressResponse {
  statusCode: number;
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/**
 * Middleware that lets requests with a good token through, for `claimsOf`. It answers all others itself: 401, 403
 * `insufficient_scope` or 503, with a problem document (RFC 9457) that has a `code`.
 */
export function requireToken(verifier: Verifier, requirements: Requirements = {}) {
  return (request: NodeRequest, response: ExpressResponse, next: (error?: unknown) => void): void => {
    verifier.verifyRequest(request, requirements).then(
      (claims) => {
        keepClaims(request, claims);
        next();
      },
      (error) => {
        if (!(error instanceof VerifyError)) return next(error);
        // Somebody else, such as a timeout, has answered meanwhile: a header more would throw where nobody catches it.
        if (response.headersSent) return;
        response.statusCode = error.status;
        for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
        response.end(error.body);
      },
    );
  };
}
