/** A real browser from the machine's binaries, without a window, and pages for it on an origin of their own. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium } from 'playwright-core';
import type { Test } from 'tap';
import { listenOn } from './plain-servers.js';

const names = ['chromium', 'chromium-browser', 'google-chrome'];
const binary = (process.env.PATH ?? '')
  .split(delimiter)
  .flatMap((folder) => names.map((name) => join(folder, name)))
  .find((path) => existsSync(path));

/** For a test's option `skip`: the reason where there is no browser, else false. */
export const withoutBrowser = binary === undefined && 'no browser: install chromium';

/** Tabs of one context share their storage. */
export async function startBrowser(t: Test): Promise<BrowserContext> {
  if (binary === undefined) throw new Error('no browser');
  const args = ['--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update'];
  // Chromium's sandbox does not work for root.
  if (process.getuid?.() === 0) args.push('--no-sandbox');
  const browser = await chromium.launch({ executablePath: binary, args });
  t.teardown(() => browser.close());
  return browser.newContext();
}

const clientFolder = fileURLToPath(new URL('../../src/client/', import.meta.url));
const examplesFolder = fileURLToPath(new URL('../../../examples/browser/', import.meta.url));

/** Serves an empty page, the modules of keyturn/client as they are published, and the examples for pages. */
export async function startPages(t: Test): Promise<string> {
  const server = createServer((request, response) => {
    const [, folder, name] = /^\/(client|examples)\/([a-z-]+\.js)$/.exec(request.url ?? '') ?? [];
    if (name === undefined)
      return response.setHeader('content-type', 'text/html').end('<!doctype html><title>app</title>');
    return response
      .setHeader('content-type', 'text/javascript')
      .end(readFileSync(join(folder === 'client' ? clientFolder : examplesFolder, name)));
  });
  return `http://127.0.0.1:${await listenOn(t, server)}`;
}
