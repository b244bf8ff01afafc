/** The secrets that webhooks are signed with: 32 random bytes, shown once, and sealed under a KEK. */
import type { KekSource } from '../ports/kek-source.js';
import type { Random } from '../ports/random.js';
import { open, seal } from './sealing.js';
import { type Instant, later } from './types.js';
import type { SealedSecrets, WebhookEndpoint } from './webhooks.js';

const SECRET_BYTES = 32;
/** How long the secret before signs beside the new one. Seconds. */
const OVERLAP_S = 86_400;

type Holder = Pick<WebhookEndpoint, 'id' | 'secrets' | 'previousUntil'>;

export interface NewSecrets {
  /** As its receiver takes it. */
  shown: string;
  secrets: SealedSecrets;
  previousUntil: Instant | null;
}

export interface WebhookSecrets {
  make(id: string): NewSecrets;
  /** The one that there is goes on signing for a day. Where it cannot be opened there is the new one alone. */
  rotate(holder: Holder, at: Instant): NewSecrets;
  /** Those that sign now, the newest first; null where no KEK that is here opens them. */
  open(holder: Holder, at: Instant): readonly Uint8Array[] | null;
  /** The same under the newest KEK; null where they cannot be opened. */
  reseal(holder: Holder): SealedSecrets | null;
  newestKekId(): string;
}

export function createWebhookSecrets(keks: KekSource, random: Random): WebhookSecrets {
  function sealed(id: string, ...secrets: readonly Uint8Array[]): SealedSecrets {
    const kek = keks.newest();
    return { sealed: seal(Buffer.concat(secrets), `webhook secrets v1 ${id}`, kek, random), kekId: kek.id };
  }

  function opened({ id, secrets }: Holder): { current: Uint8Array; previous: Uint8Array } | null {
    const kek = keks.find(secrets.kekId);
    const both = kek && open(secrets.sealed, `webhook secrets v1 ${id}`, kek);
    return both && { current: both.subarray(0, SECRET_BYTES), previous: both.subarray(SECRET_BYTES) };
  }

  const shown = (secret: Uint8Array): string => `whsec_${Buffer.from(secret).toString('base64')}`;

  return {
    make(id) {
      const secret = random.bytes(SECRET_BYTES);
      return { shown: shown(secret), secrets: sealed(id, secret), previousUntil: null };
    },
    rotate(holder, at) {
      const before = opened(holder);
      const secret = random.bytes(SECRET_BYTES);
      if (before === null) return { shown: shown(secret), secrets: sealed(holder.id, secret), previousUntil: null };
      const secrets = sealed(holder.id, secret, before.current);
      return { shown: shown(secret), secrets, previousUntil: later(at, OVERLAP_S) };
    },
    open(holder, at) {
      const both = opened(holder);
      if (both === null) return null;
      const isKept = holder.previousUntil !== null && at < holder.previousUntil && both.previous.length > 0;
      return isKept ? [both.current, both.previous] : [both.current];
    },
    reseal(holder) {
      const both = opened(holder);
      return both && sealed(holder.id, both.current, both.previous);
    },
    newestKekId: () => keks.newest().id,
  };
}
