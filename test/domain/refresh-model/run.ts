/** Carries a schedule out, and in the end lets everybody use what he has. */
import type { Client } from './parties.js';
import { forge } from './parties.js';
import type { Command, Schedule } from './schedule.js';
import type { Answer } from './service.js';
import { createWorld, type Events, type Sent, type World, type WorldParts } from './world.js';

/** Seconds: longer than the leeway, and than all differences between clocks. */
const PAST_LEEWAY_S = 600;

const pick = <T>(items: readonly T[], index: number): T | undefined => items[index % items.length];
const takeOut = <T>(items: T[], index: number): T | undefined => items.splice(index % (items.length || 1), 1)[0];

type Actions = { [Name in Command['do']]: (command: Extract<Command, { do: Name }>) => Promise<void> | void };

function actionsIn(world: World, { lines, seen }: Events): Actions {
  const { clients, thief, invariants, onTheWay, processes, answers } = world;

  async function goes(request: Sent, smooth: boolean): Promise<void> {
    if (smooth) await world.exchange(request);
    else onTheWay.push(request);
  }

  return {
    async refresh({ client: index, smooth }) {
      const client = pick(clients, index);
      if (client?.isLoggedIn()) await goes(world.ask(client), smooth);
    },
    async 'repeat key'({ client: index }) {
      const client = pick(clients, index);
      const asked = client?.isLoggedIn() ? client.askWithOldKey() : null;
      if (client && asked) {
        await world.exchange(world.send('careless', { ...asked, from: client, session: client.session }));
      }
    },
    restart({ client: index }) {
      const client = pick(clients, index);
      if (client) world.restart(client);
    },
    async arrive({ request: index, node, copy }) {
      const request = copy ? pick(onTheWay, index) : takeOut(onTheWay, index);
      if (request === undefined) return;
      if (copy) seen.add('a request is doubled');
      await world.arrive(request, node);
    },
    'lose request'({ request: index }) {
      const request = takeOut(onTheWay, index);
      if (request) lines.push(`request ${request.number} is lost`);
    },
    async work({ process: index }) {
      const process = pick(processes, index);
      if (process) await world.work(process);
    },
    async break({ process: index, committed }) {
      const process = pick(processes, index);
      if (process && process.next() !== 'sign') await world.work(process, committed ? 'breaks after' : 'breaks before');
    },
    kill({ process: index }) {
      const process = takeOut(processes, index);
      if (process === undefined) return;
      lines.push(`${process.name} is killed before its ${process.next()}`);
      seen.add(`killed before its ${process.next()}`);
    },
    async answer({ answer: index }) {
      const answered = takeOut(answers, index);
      if (answered) await world.deliver(answered);
    },
    'lose answer'({ answer: index }) {
      const answered = takeOut(answers, index);
      if (answered === undefined) return;
      lines.push(`the answer to request ${answered.request.number} is lost`);
      if (answered.answer.token !== null) seen.add('an answer with tokens is lost');
    },
    clock({ by }) {
      world.setClock(by);
    },
    steal({ client: index }) {
      const client = pick(clients, index);
      if (client === undefined) return;
      lines.push(`the thief copies ${invariants.nameOf(client.stored().token)} of ${client.name}`);
      thief.copies(client);
    },
    async use({ loot, key, smooth }) {
      const asked = pick(thief.loot(key), loot);
      if (asked) await goes(world.send('thief', asked), smooth);
    },
    async 'demand password'({ client: index }) {
      const client = pick(clients, index);
      if (client) await world.demandPassword(client);
    },
    async forge({ token: index, parts }) {
      const issued = invariants.issued();
      const token = pick(issued, index) ?? '';
      const other = issued.find((one) => forge(token, ['session'], one) !== token) ?? '';
      lines.push(`somebody changes the ${parts.join(' and the ')} of ${invariants.nameOf(token)}`);
      await world.exchange(world.send('forger', { token: forge(token, parts, other), key: null, password: false }));
    },
  };
}

/** An owner who is asked for the password types it in. */
async function askWithPassword(world: World, client: Client): Promise<Answer | null> {
  const answer = await world.exchange(world.ask(client));
  const isAsked = answer?.token === null && answer.code === 'password_required';
  return isAsked ? world.exchange(world.ask(client)) : answer;
}

/** A client that nobody robbed has its answer and can go on. */
async function settleHonest(world: World, client: Client): Promise<void> {
  for (const what of ['gets its answer', 'can refresh again']) {
    if (!client.isLoggedIn() || world.invariants.isOver(client.session, world.now())) return;
    const answer = await askWithPassword(world, client);
    const isOver = world.invariants.isOver(client.session, world.now());
    world.invariants.expect(
      isOver || (answer !== null && answer.token !== null),
      'I3',
      `${client.name} no longer ${what}`,
    );
  }
}

/**
 * Past the leeway the owner and the thief use what they have, in turns. The first round may give both the same token, so
 * it takes a second one for one of them to come too late; after that nothing that either has is good. Where the password is
 * asked for the thief gets nothing in one round, and comes too late in the next.
 */
async function settleRobbed(world: World, client: Client, thiefIsFirst: boolean): Promise<void> {
  const { thief, invariants } = world;
  const turns = [
    async () => {
      if (client.isLoggedIn()) await askWithPassword(world, client);
    },
    async () => {
      const stolen = thief.loot(false).find(({ session }) => session === client.session);
      if (stolen) await world.exchange(world.send('thief', stolen));
    },
  ];
  if (thiefIsFirst) turns.reverse();
  const isOver = () => invariants.isOver(client.session, world.now());
  const last = invariants.wasDemanded(client.session) ? 2 : 1;
  for (let round = 0; round <= last + 1; round++) {
    const wasOver = isOver();
    for (const turn of turns) {
      world.setClock(PAST_LEEWAY_S);
      await turn();
    }
    if (wasOver) return;
    invariants.expect(isOver() || round < last, 'I4', 'both have used their tokens, and the theft is not seen');
  }
}

/** Rejects with a Violation as soon as there is one. */
export async function runSchedule(schedule: Schedule, parts: WorldParts, events: Events): Promise<void> {
  const world = createWorld(schedule.replayWindow, parts, events);
  const actions = actionsIn(world, events);
  for (const command of schedule.commands) {
    await (actions[command.do] as (command: Command) => Promise<void> | void)(command);
  }

  events.lines.push('in the end');
  const isRobbed = ({ session }: Client) => world.invariants.isRobbed(session);
  const isHonest = ({ session }: Client) => world.invariants.isHonest(session);
  for (const client of world.clients.filter(isHonest)) await settleHonest(world, client);
  for (const client of world.clients.filter(isRobbed)) {
    await settleRobbed(world, client, schedule.thiefIsFirst);
    const reason = parts.rows.get(client.session.id)?.revokeReason;
    if (reason === 'refresh_token_reused') events.seen.add('a theft is seen');
  }
}
