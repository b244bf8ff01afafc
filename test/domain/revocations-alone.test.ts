/** One process without Redis, on a database that a command may change beside it. */
import t from 'tap';
import { createInProcessProjection } from '../../src/adapters/in-process/revocation-projection.js';
import { within } from '../../src/adapters/system/within.js';
import { unheard } from '../../src/cli/when-needed.js';
import type { Revocation } from '../../src/domain/revocation.js';
import { createRevocations } from '../../src/domain/revocations.js';
import type { Instant } from '../../src/domain/types.js';
import { countNothing } from '../../src/ports/metrics.js';
import { LEASE_MS, LEASE_OVER_MS } from '../../src/ports/revocation-projection.js';
import { fakeClock } from '../support/clock.js';
import { revocation, token } from '../support/revocations.js';

function world() {
  const clock = fakeClock();
  const rows: Revocation[] = [];
  const state = { isAway: false, reads: 0 };
  const store = {
    append: async () => null,
    async after(id: number, at: Instant, limit: number) {
      state.reads++;
      if (state.isAway) throw new Error('no store');
      return rows.filter((row) => row.id > id && row.expiresAt > at).slice(0, limit);
    },
    last: async () => rows.at(-1)?.id ?? 0,
  };
  const waiting = { ...clock, pause: async (ms: number) => clock.advance(ms / 1000) };
  const parts = { store, metrics: countNothing, clock: waiting, failOpen: false, within };
  return {
    clock,
    rows,
    state,
    service: createRevocations({ ...parts, projection: createInProcessProjection(clock, store) }),
    command: createRevocations({ ...parts, projection: unheard(createInProcessProjection(clock, store)) }),
  };
}

const gone = token({ jti: 'gone' });
const revoked = { name: 'Refusal', code: 'token_revoked' };
const unknown = { name: 'Refusal', code: 'revocation_unknown' };

t.test('what a command has revoked is refused when it returns', async (t) => {
  const { service, command, rows, clock } = world();
  await service.follow();
  rows.push(revocation(1, 'jti', 'gone', { revokedAt: clock.now() }));
  const begun = clock.monotonic();
  await command.enforce();
  t.ok(clock.monotonic() - begun >= LEASE_OVER_MS, 'the lease of the service is over');
  await t.rejects(service.check(gone, {}), revoked, 'though it has not looked by itself since');
  t.equal(await service.check(token(), {}), 'good');
});

t.test('a lease takes a look at the database', async (t) => {
  const { service, rows, clock } = world();
  await service.follow();
  rows.push(revocation(1, 'jti', 'gone', { revokedAt: clock.now() }));
  t.equal(await service.check(gone, {}), 'good', 'the command has not returned yet');
  await service.follow();
  t.equal(service.isCurrent(), true);
  await t.rejects(service.check(gone, {}), revoked);
});

t.test('while the database is away, nothing is told after the lease, and all is known again afterwards', async (t) => {
  const { service, state, clock } = world();
  await service.follow();
  state.isAway = true;
  await t.rejects(service.follow());
  t.equal(await service.check(token(), {}), 'good');
  clock.advance(LEASE_MS / 1000);
  await t.rejects(service.check(token(), {}), unknown);
  t.equal(await service.canTell().catch(() => false), false);
  state.isAway = false;
  await service.follow();
  t.equal(await service.check(token(), {}), 'good');
});

t.test('checks under a lease cost no look, and those without share one', async (t) => {
  const { service, state, clock } = world();
  await service.follow();
  const { reads } = state;
  await Promise.all(Array.from({ length: 50 }, () => service.check(token(), {})));
  t.equal(state.reads, reads);
  clock.advance(LEASE_MS / 1000);
  await Promise.all(Array.from({ length: 50 }, () => service.check(token(), {})));
  t.equal(state.reads, reads + 2, 'one under way, and one for those who came meanwhile');
});
