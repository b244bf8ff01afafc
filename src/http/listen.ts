import { lookup } from 'node:dns/promises';
import type { App } from './typed.js';

/**
 * For `localhost` the framework would make a second server, one for each address that this has: with none of the limits of
 * the first, and not drained with it. It is IPv4 where there is both, as by default.
 */
async function addressOf(host: string): Promise<string> {
  if (host !== 'localhost') return host;
  const { address } = await lookup(host, { order: 'ipv4first' });
  return address;
}

/**
 * How many connections wait to be let in, as far as the system allows: Linux as it comes allows so many. One that does not
 * get in asks again after 1 s, 3 s, 7 s, and with Node's own 511 a gateway's burst after a stall would.
 */
const BACKLOG = 4096;

/** Rejects in words for the operator when the port, which is the value of `variable`, is taken. */
export async function listen(app: App, host: string, port: number, variable: string): Promise<void> {
  try {
    const where = { host: await addressOf(host), port, backlog: BACKLOG };
    await app.listen({ ...where, listenTextResolver: () => 'listening' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new Error(`port ${port} is in use: stop what listens there, or set ${variable} to another`, { cause: error });
  }
}
