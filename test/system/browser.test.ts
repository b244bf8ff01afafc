/** keyturn/client in two tabs of a real browser, on another origin than the service. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Page, Route } from 'playwright-core';
import t from 'tap';
import type { AuthClient } from '../../src/client/index.js';
import { startBrowser, startPages, withoutBrowser } from '../support/browser.js';
import { eventually, generationOf } from '../support/process.js';
import { noteSecret } from '../support/run-log.js';
import { PASSWORD, rowOf, startService } from '../support/service.js';

const readme = fileURLToPath(new URL('../../../README.md', import.meta.url));

/** What a tab has in its global scope. */
interface Tab {
  auth: AuthClient;
  ended: string[];
}

t.test('two tabs of a browser', { skip: withoutBrowser }, async (t) => {
  const origin = await startPages(t);
  const service = await startService(t, { env: { CORS_ORIGINS: origin } });
  const baseUrl = await service.app.listen({ host: '127.0.0.1', port: 0 });
  await service.register();
  const context = await startBrowser(t);

  /** A tab with a client of its own, as every page load makes one. */
  async function open(page?: Page): Promise<Page> {
    const tab = page ?? (await context.newPage());
    await tab.goto(origin);
    await tab.evaluate(async (url) => {
      const { createAuthClient, webStorage } = await import(String('/client/index.js'));
      const auth = createAuthClient({ baseUrl: url, clientId: 'default', storage: webStorage() });
      const ended: string[] = [];
      auth.onSessionEnd((reason: string) => ended.push(reason));
      Object.assign(globalThis, { auth, ended });
    }, baseUrl);
    return tab;
  }

  const inTab = <T>(tab: Page, work: (tab: Tab) => Promise<T>): Promise<T> =>
    tab.evaluate(`(${work.toString()})(globalThis)`) as Promise<T>;
  const tokenIn = (tab: Page) => inTab(tab, ({ auth }) => auth.getAccessToken());
  const storedIn = async (tab: Page) =>
    JSON.parse(
      await tab.evaluate('localStorage[Object.keys(localStorage).find((name) => !name.endsWith(".device"))] ?? "null"'),
    );
  /** The token expires, and the tabs are loaded anew, as after a night. */
  async function expire(...tabs: Page[]): Promise<void> {
    await tabs[0]?.evaluate(`
      for (const [name, value] of Object.entries(localStorage).filter(([name]) => !name.endsWith('.device')))
        localStorage.setItem(name, JSON.stringify({ ...JSON.parse(value), renewAt: 0, expiresAt: 0 }));`);
    for (const tab of tabs) await open(tab);
  }
  const refreshes = () =>
    service.logs.filter(({ method, path }) => method === 'POST' && path === '/v1/refresh').map(({ code }) => code);
  const login = (tab: Page) =>
    tab.evaluate(([email, password]) => (globalThis as unknown as Tab).auth.login({ email, password }), [
      'ada@example.com',
      PASSWORD,
    ] as const);

  const [one, two] = [await open(), await open()];
  await login(one);
  noteSecret((await storedIn(one)).refreshToken, (await storedIn(one)).accessToken);

  await t.test('share one session', async (t) => {
    const token = await tokenIn(one);
    t.ok(token);
    t.equal(await tokenIn(two), token);
    const status = await two.evaluate(
      async (url) => (await (globalThis as unknown as Tab).auth.fetch(`${url}/v1/me`)).status,
      baseUrl,
    );
    t.equal(status, 200, 'on another origin too');
  });

  await t.test('refresh once between them, however often both ask at once', async (t) => {
    await expire(one, two);
    const ask = ({ auth }: Tab) => Promise.all([1, 2, 3, 4, 5].map(() => auth.getAccessToken()));
    const tokens = (await Promise.all([inTab(one, ask), inTab(two, ask)])).flat();
    t.equal(new Set(tokens).size, 1);
    // What one tab stores reaches the process of the other a moment later: then that repeats the request, key and all.
    const [first, ...more] = refreshes();
    t.equal(first, 'rotated');
    t.ok(more.length === 0 || (more.length === 1 && more[0] === 'replayed'), String(more));
    t.equal(generationOf((await storedIn(two)).refreshToken), 1);
  });

  await t.test('go on where a tab was closed in the middle, with its key', async (t) => {
    await expire(one, two);
    const before = refreshes().length;
    const doomed = await open();
    const rotated = new Promise<string | undefined>((resolve) => {
      doomed.route('**/v1/refresh', async (route: Route) => {
        // The service answers, and the tab never hears of it.
        await route.fetch();
        resolve(route.request().headers()['idempotency-key']);
      });
    });
    const asked = tokenIn(doomed).catch(() => {});
    const key = await rotated;
    noteSecret(key);
    t.equal((await storedIn(two)).key, key);
    const waiting = tokenIn(two);
    await doomed.close();
    await asked;
    t.ok(await waiting);
    const [first, ...more] = refreshes().slice(before);
    t.equal(first, 'rotated');
    t.same([...new Set(more)], ['replayed']);
    t.equal(generationOf((await storedIn(two)).refreshToken), 2);
  });

  await t.test('hear of each other’s logout', async (t) => {
    const { sid } = JSON.parse(Buffer.from(String(await tokenIn(one)).split('.')[1] ?? '', 'base64url').toString());
    await inTab(one, ({ auth }) => auth.logout());
    await eventually(
      async () => (await inTab(two, async ({ ended }) => ended)).length > 0,
      () => 'the other tab does not hear of it',
    );
    t.same(await inTab(two, async ({ ended }) => ended), ['logout']);
    t.equal(await tokenIn(two), null);
    t.match(
      await two.evaluate('Object.keys(localStorage)'),
      [/\.device$/],
      'nothing is left behind but what the device is known by',
    );
    t.match(await rowOf(service.database, 'sessions', `id = '${sid}'`), { revoke_reason: 'logout' });
  });

  await t.test('run the example of the README', async (t) => {
    const example =
      /^```ts\n(import [^\n]*'keyturn\/client';\n.*?)^```$/ms.exec(readFileSync(readme, 'utf8'))?.[1] ?? '';
    const here = example
      .replace(/^import (.*) from 'keyturn\/client';$/m, "const $1 = await import('/client/index.js');")
      .replaceAll('http://127.0.0.1:3000', baseUrl);
    t.equal(await one.evaluate(`(async () => { ${here}; return response.status; })()`), 200);
  });
});
