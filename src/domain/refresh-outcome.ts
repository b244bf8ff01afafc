/** What is counted of refreshes: each one comes to one of a closed list of outcomes, so that an alert can name it. */
import type { Metrics } from '../ports/metrics.js';
import { type ErrorCode, Refusal } from './errors.js';
import type { Refresh } from './refresh.js';
import type { AuditEvent } from './types.js';

export const countedOutcomes = [
  'rotated',
  'replayed',
  'concurrent',
  'superseded',
  'reused',
  'expired',
  'revoked',
  'invalid',
  'ahead_of_store',
  'secret_mismatch',
  'key_reused',
  'account_disabled',
  'role_required',
  'password_required',
  'wrong_password',
  'unavailable',
  'overloaded',
  'error',
] as const;

export type CountedOutcome = (typeof countedOutcomes)[number];

const byCode: Partial<Record<ErrorCode, CountedOutcome>> = {
  refresh_superseded: 'superseded',
  refresh_token_reused: 'reused',
  session_expired: 'expired',
  session_revoked: 'revoked',
  invalid_refresh_token: 'invalid',
  idempotency_key_reused: 'key_reused',
  account_disabled: 'account_disabled',
  role_required: 'role_required',
  password_required: 'password_required',
  wrong_password: 'wrong_password',
  store_unavailable: 'unavailable',
  signing_key_unavailable: 'unavailable',
  overloaded: 'overloaded',
};

/** Refusals whose code says no more than `invalid_refresh_token`, which an operator should tell apart. */
const byEvent: Partial<Record<AuditEvent['event'], CountedOutcome>> = {
  'refresh.ahead_of_store': 'ahead_of_store',
  'refresh.secret_mismatch': 'secret_mismatch',
};

export function outcomeOf(error: unknown): CountedOutcome {
  if (!(error instanceof Refusal)) return 'error';
  return (error.event && byEvent[error.event]) ?? byCode[error.code] ?? 'error';
}

/** The same refresh, counted. */
export const counted =
  (refresh: Refresh, metrics: Metrics): Refresh =>
  async (request) => {
    try {
      const result = await refresh(request);
      metrics.refreshed(result.outcome);
      return result;
    } catch (error) {
      metrics.refreshed(outcomeOf(error));
      throw error;
    }
  };
