/** /livez: the process answers. /readyz: it can do its work. */

import { Refusal } from '../domain/errors.js';
import { Closed, refusals } from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

/** Seconds after which a load balancer may ask again. */
const RETRY_AFTER_S = 5;
const Ok = Closed({ status: Type.Literal('ok') }, { description: 'Yes' });

export function healthRoutes(app: App, { readiness }: Pick<Services, 'readiness'>): void {
  // Probes are not counted: a load balancer that asks often must not be told that it asks too often.
  const config = { uncounted: true };
  app.get(
    '/livez',
    {
      config,
      schema: {
        tags: ['health'],
        operationId: 'livez',
        summary: 'Whether the process answers',
        response: { 200: Ok, ...refusals('/livez') },
      },
    },
    async () => ({ status: 'ok' as const }),
  );
  app.get(
    '/readyz',
    {
      config,
      schema: {
        tags: ['health'],
        operationId: 'readyz',
        summary: 'Whether the service can do its work',
        description:
          'If not, `missing` lists what it lacks: `database`, `redis`, `signing_key`, `clock`; and `signing_keys` the keys that cannot be used, with `kid`, `kek` and `problem`.',
        response: { 200: Ok, ...refusals('/readyz', 'not_ready') },
      },
    },
    async () => {
      const missing = await readiness.missing();
      if (missing.length > 0) {
        const keys = readiness.keyProblems().map(({ kid, kekId, problem }) => ({ kid, kek: kekId, problem }));
        throw new Refusal('not_ready', {
          retryAfter: RETRY_AFTER_S,
          detail: `missing: ${missing.join(', ')}`,
          extra: { missing, ...(keys.length > 0 && { signing_keys: keys }) },
        });
      }
      return { status: 'ok' as const };
    },
  );
}
