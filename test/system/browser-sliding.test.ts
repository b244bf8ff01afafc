/** A session that slides, in a real browser: pages on other origins than the service. */
import type { Page } from 'playwright-core';
import t from 'tap';
import { startBrowser, startPages, withoutBrowser } from '../support/browser.js';
import { eventually } from '../support/process.js';
import { noteSecret } from '../support/run-log.js';
import { PASSWORD, startService } from '../support/service.js';
import { claimsOf } from '../support/sliding.js';

interface Answer {
  status: number;
  token: string | null;
}

/** What a page of the example has in its global scope. */
interface Tab {
  session: {
    fetch(url: string, init?: object): Promise<Response>;
    login(email: string, password: string): Promise<Response>;
    logout(): Promise<Response>;
    isLoggedIn: boolean;
  };
}

t.test('a page whose token slides', { skip: withoutBrowser }, async (t) => {
  const [own, foreign] = [await startPages(t), await startPages(t)];
  const service = await startService(t);
  const { clock } = service;
  const baseUrl = await service.app.listen({ host: '127.0.0.1', port: 0 });
  const fields = { clientId: 'web', name: 'Web', type: 'public', audiences: ['api'] } as const;
  await service.services.clients.create({ ...fields, tokenDelivery: 'header', corsOrigins: [own] });
  await service.services.directory.load();
  await service.register();
  const context = await startBrowser(t);

  async function open(origin: string): Promise<Page> {
    const tab = await context.newPage();
    await tab.goto(origin);
    await tab.evaluate(async (url) => {
      const { slidingSession } = await import(String('/examples/session.js'));
      Object.assign(globalThis, { session: slidingSession(url, { clientId: 'web' }) });
    }, baseUrl);
    return tab;
  }
  /** What the service does by itself from time to time: the clock that is moved here moves no timers. */
  async function pass(seconds: number): Promise<void> {
    clock.advance(seconds);
    await service.services.keys.load();
    await service.services.revocations.follow();
  }
  const ask = (tab: Page, path = '/v1/me'): Promise<Answer> =>
    tab.evaluate(async (url) => {
      const answer = await (globalThis as unknown as Tab).session.fetch(url);
      return { status: answer.status, token: answer.headers.get('jwt') };
    }, baseUrl + path);
  const login = (tab: Page) =>
    tab.evaluate(
      async ([email, password]) => {
        const answer = await (globalThis as unknown as Tab).session.login(email, password);
        return { status: answer.status, body: await answer.json() };
      },
      ['ada@example.com', PASSWORD] as const,
    );
  const stored = async (tab: Page): Promise<string | null> => {
    const token = await tab.evaluate<string | null>('localStorage.getItem("session")');
    noteSecret(token);
    return token;
  };
  /** What one tab stores another one hears of a moment later: each may have a process of its own. */
  const hears = (tab: Page, token: string | null) =>
    eventually(
      async () => (await stored(tab)) === token,
      () => 'the other tab has another token',
    );

  const [one, two] = [await open(own), await open(own)];

  await t.test('sees the token of its login in the header, and keeps it', async (t) => {
    const { status, body } = await login(one);
    t.equal(status, 200);
    const token = await stored(one);
    t.match(body, { session_id: claimsOf(token ?? '').sid, expires_in: 1800, device_token: /^ktd_/ });
    t.equal((await ask(one)).status, 200);
    t.equal(await stored(one), token, 'which is young');
  });

  await t.test('stays logged in for hours while somebody is there, in all tabs', async (t) => {
    const sid = claimsOf((await stored(one)) ?? '').sid;
    for (let i = 0; i < 8; i++) {
      await pass(25 * 60);
      const tab = i % 2 === 0 ? one : two;
      const before = await stored(tab);
      const { status, token } = await ask(tab, '/v1/sessions');
      t.equal(status, 200);
      t.ok(token);
      t.not(token, before);
      await hears(tab === one ? two : one, token);
      t.equal(claimsOf(token ?? '').sid, sid);
    }
  });

  await t.test('asks many things at once from two tabs, and none hurts another', async (t) => {
    await pass(5 * 60);
    const many = (tab: Page) => Promise.all(Array.from({ length: 10 }, () => ask(tab)));
    const answers = (await Promise.all([many(one), many(two)])).flat();
    t.same([...new Set(answers.map(({ status }) => status))], [200]);
    await pass(60);
    t.same([(await ask(one)).status, (await ask(two)).status], [200, 200]);
  });

  await t.test('a page of another origin gets nothing to read', async (t) => {
    const thief = await open(foreign);
    const token = await stored(one);
    await thief.evaluate(`localStorage.setItem('session', ${JSON.stringify(token)})`);
    await pass(120);
    const before = service.logs.length;
    await t.rejects(ask(thief), /Failed to fetch/, 'not even with the token in its hands');
    await t.rejects(login(thief), /Failed to fetch/);
    const asked = service.logs.slice(before).filter(({ msg }) => msg === 'request');
    t.same(
      asked.map(({ method, status }) => [method, status]),
      [
        ['OPTIONS', 405],
        ['OPTIONS', 405],
      ],
      'its browser asked first, and went no further',
    );
    await thief.close();
  });

  await t.test('is logged out after half an hour of nothing', async (t) => {
    await pass(31 * 60);
    t.equal((await ask(one)).status, 401);
    await hears(two, null);
  });

  await t.test('is logged out in all tabs by one of them', async (t) => {
    await login(one);
    const token = await stored(two);
    const status = await two.evaluate(async () => (await (globalThis as unknown as Tab).session.logout()).status);
    t.equal(status, 204);
    t.equal(await stored(one), null);
    await one.evaluate(`localStorage.setItem('session', ${JSON.stringify(token)})`);
    t.same(await ask(one), { status: 401, token: null });
  });
});
