export type { FetchRequest, NodeRequest } from './bearer.js';
export { VerifyError, type VerifyErrorCode } from './errors.js';
export type { RevocationOptions, VerifierOptions } from './options.js';
export type { AccessTokenClaims, Algorithm } from './token.js';
export { createVerifier, type Requirements, type Verifier } from './verifier.js';
