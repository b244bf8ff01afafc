/**
 * Bounded staleness: services that follow the feed, each at another node than the one that revokes, refuse a token within
 * a second of the acknowledgement. Cut off from the feed they refuse everything once what they know is too old.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { BEAT_S } from '../../../src/domain/revocation-feed.js';
import { LEASE_MS } from '../../../src/ports/revocation-projection.js';
import type { Verifier } from '../../../src/verifier/index.js';
import { withoutPostgres, withoutRedis } from '../../support/databases.js';
import { startLink } from '../../support/link.js';
import type { Tokens } from '../../support/service.js';
import { outcomeOf } from '../../support/verifier.js';
import { type Answer, startWorld, type World } from './world.js';

const skip = withoutPostgres || withoutRedis;
const TRIES = 152;
/** So many that those who wait for the next whole second do not hold up the others. */
const WORKERS = 10;
/** Between two looks at a token; at those that somebody waits for, and at others. Milliseconds. */
const LOOK_MS = 2;
const SELDOM_MS = 15;
const BOUND_MS = 1_000;
/** What has not come to pass by then never will. */
const PATIENCE_MS = 20_000;
/** Of those that are cut off. Seconds. */
const MAX_STALENESS = 4;
/** For a machine that has other things to do. Milliseconds. */
const SLACK_MS = 1_000;

/** Makes a token, and says how it is revoked. */
type Way = (world: World, name: string) => Promise<{ token: string; revoke: () => Promise<Answer> }>;

const ofSession =
  (revoke: (world: World, tokens: Tokens, userId: string) => Promise<Answer>): Way =>
  async (world, name) => {
    const email = `${name}@example.com`;
    await world.register(email);
    const tokens = await world.login(email);
    const { sub } = JSON.parse(Buffer.from(tokens.access_token.split('.')[1] ?? '', 'base64url').toString());
    return { token: tokens.access_token, revoke: () => revoke(world, tokens, sub) };
  };

const revokedBy = ({ administer }: World, kind: string, value: string) =>
  administer('POST', '/revocations', { kind, value });

const ways: Record<string, Way> = {
  'log out': ofSession(({ ask }, { refresh_token }) => ask('POST', '/v1/logout', { refresh_token })),
  'end a session': ofSession(({ ask }, { session_id, access_token }) =>
    ask('DELETE', `/v1/sessions/${session_id}`, undefined, access_token),
  ),
  'give a token back': ofSession(({ form }, { access_token: token }) =>
    form('/oauth/revoke', { token, client_id: 'default' }),
  ),
  'disable the user': ofSession(({ administer }, _tokens, userId) => administer('POST', `/users/${userId}/disable`)),
  'revoke the token': ofSession((world, { access_token }) => revokedBy(world, 'jti', access_token)),
  'revoke the session': ofSession((world, { session_id }) => revokedBy(world, 'sid', session_id)),
  'revoke the user': ofSession((world, _tokens, userId) => revokedBy(world, 'sub', userId)),
  'revoke the client': async (world, name) => {
    const client = await world.makeClient(name);
    return { token: await world.tokenOf(client), revoke: () => revokedBy(world, 'client', name) };
  },
};

/** Milliseconds from the acknowledgement until it is refused as revoked. Until then it may be accepted, and nothing else. */
async function delayOf(verifier: Verifier, token: string, acknowledgedAt: number): Promise<number> {
  for (;;) {
    const outcome = await outcomeOf(verifier.verify(token));
    const delay = performance.now() - acknowledgedAt;
    if (outcome === 'token_revoked') return delay;
    if (outcome !== 'accepted' || delay > PATIENCE_MS) throw new Error(`after ${delay} ms: ${outcome}`);
    await sleep(LOOK_MS);
  }
}

t.test('followers of the feed', { skip }, async (t) => {
  const world = await startWorld(t);
  const { revoking, followed, toRedis, register, login, administer } = world;
  const BYSTANDER = 'bystander@example.com';
  await register(BYSTANDER);
  const { access_token: untouched } = await login(BYSTANDER);

  await t.test('refuse what is revoked elsewhere within a second, and nothing else', async (t) => {
    const followers = await Promise.all(followed.map(({ url }) => world.follow(url)));
    const names = Object.keys(ways);
    const delays: number[] = [];
    const bystander: Record<string, number> = {};
    let begun = 0;

    async function tryOnce(n: number): Promise<void> {
      const how = names[n % names.length] ?? '';
      const made = await ways[how]?.(world, `try-${n}`);
      if (made === undefined) throw new Error(how);
      const { token, revoke } = made;
      for (const { verify } of followers) t.equal(await outcomeOf(verify(token)), 'accepted', `${how}: before`);
      const { status, at, body } = await revoke();
      if (status !== 200 && status !== 204) throw new Error(`${how}: ${status} ${body.code}`);
      delays.push(...(await Promise.all(followers.map((follower) => delayOf(follower, token, at)))));
    }

    async function keepTrying(): Promise<void> {
      while (begun < TRIES) await tryOnce(begun++);
    }

    let isOver = false;
    async function keepLooking(): Promise<void> {
      for (; !isOver; await sleep(SELDOM_MS)) {
        for (const { verify } of followers) {
          const outcome = await outcomeOf(verify(untouched));
          bystander[outcome] = (bystander[outcome] ?? 0) + 1;
        }
      }
    }

    const looking = keepLooking();
    await Promise.all(Array.from({ length: WORKERS }, keepTrying)).finally(() => {
      isOver = true;
    });
    await looking;
    const sorted = delays.sort((a, b) => a - b);
    const quantile = (q: number) => sorted[Math.ceil(q * sorted.length) - 1] ?? Number.NaN;
    t.equal(sorted.length, TRIES * followers.length);
    const [p50, p99, most] = [0.5, 0.99, 1].map((q) => Math.round(quantile(q) * 10) / 10);
    t.comment(`from the acknowledgement to the refusal: p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms`);
    t.ok(quantile(0.99) <= BOUND_MS, `p99 is ${p99} ms`);
    t.same(Object.keys(bystander), ['accepted'], JSON.stringify(bystander));
    t.ok((bystander.accepted ?? 0) > 50, 'it was looked at all the time');
    for (const { askedFrom } of followers) t.same(askedFrom, [null], 'each of them listened on one connection');
  });

  await t.test(
    'refuse everything when they are cut off for too long, and come back without having missed one',
    async (t) => {
      const [blind, dead] = followed;
      const link = await startLink(t, revoking.port);
      const held = `http://127.0.0.1:${link.port}`;
      const addresses = {
        'in silence': held,
        'at a node that knows nothing': blind.url,
        'at a node that is dead': dead.url,
      };
      const followers = await Promise.all(
        Object.entries(addresses).map(async ([how, address]) => ({
          how,
          verifier: await world.follow(address, MAX_STALENESS),
          /** The last time that something was accepted. */
          lastAt: 0,
          afterwards: new Set<string>(),
        })),
      );
      const { access_token: missed, refresh_token } = await login(BYSTANDER);
      const verdict = async ({ verify }: Verifier, token: string) => outcomeOf(verify(token));
      for (const { verifier } of followers) t.equal(await verdict(verifier, missed), 'accepted');

      const cutAt = performance.now();
      link.hold();
      toRedis[0].hold();
      await dead.stop('SIGKILL');
      // The revoking node waits until those that are away would not accept it any more themselves.
      const revoked = world.ask('POST', '/v1/logout', { refresh_token });
      await Promise.all(
        followers.map(async (follower) => {
          while (follower.lastAt < PATIENCE_MS && (await verdict(follower.verifier, untouched)) === 'accepted') {
            follower.lastAt = performance.now() - cutAt;
            await sleep(SELDOM_MS);
          }
        }),
      );
      const { status, at } = await revoked;
      t.equal(status, 204);
      for (const { how, verifier, lastAt } of followers) {
        for (const token of [untouched, missed])
          t.equal(await verdict(verifier, token), 'revocation_unknown', `cut off ${how}`);
        const most = MAX_STALENESS * 1000 + LEASE_MS;
        const [from, to] = [(MAX_STALENESS - BEAT_S) * 1000 - SLACK_MS, most + SLACK_MS];
        t.comment(`cut off ${how}: accepted for ${Math.round(lastAt)} ms`);
        t.ok(lastAt > from && lastAt < to, `cut off ${how}: accepted for ${Math.round(lastAt)} ms`);
        t.ok(cutAt + lastAt <= at + MAX_STALENESS * 1000, 'never longer than that after the acknowledgement');
      }

      link.mend();
      toRedis[0].mend();
      const restarted = world.restart(dead);
      await Promise.all(
        followers.map(async ({ how, verifier, afterwards }) => {
          for (
            const begun = performance.now();
            (await verdict(verifier, untouched)) !== 'accepted';
            await sleep(SELDOM_MS)
          ) {
            afterwards.add(await verdict(verifier, missed));
            if (performance.now() - begun > PATIENCE_MS) throw new Error(`it does not come back: ${how}`);
          }
          t.equal(await verdict(verifier, missed), 'token_revoked', how);
          t.notOk(afterwards.has('accepted'), `${how}: not even for a moment`);
          const [first, ...later] = verifier.askedFrom;
          t.equal(first, null);
          t.notOk(later.includes(null), `${how}: it went on from where it was`);
        }),
      );
      await restarted;
    },
  );

  await t.test('go on when their own tokens are revoked too, with everything', async (t) => {
    const follower = await world.follow(followed[0].url);
    const { status, at } = await administer('POST', '/revocations', { kind: 'all' });
    t.equal(status, 204);
    t.ok((await delayOf(follower, untouched, at)) <= BOUND_MS);
    t.equal(await outcomeOf(follower.verify((await login(BYSTANDER)).access_token)), 'accepted');
    const asked = () => follower.askedFrom.length;
    for (const begun = performance.now(); asked() < 2 && performance.now() - begun < PATIENCE_MS; )
      await sleep(SELDOM_MS);
    t.ok(asked() >= 2, 'it listens again, with another token');
    const again = await login(BYSTANDER);
    const answer = await world.ask('POST', '/v1/logout', { refresh_token: again.refresh_token });
    t.ok((await delayOf(follower, again.access_token, answer.at)) <= BOUND_MS);
  });
});
