/** Somebody who tries texts as tokens and secrets at a service, by the thousand. */
import { Agent, request } from 'node:http';
import type { Test } from 'tap';

/** Requests at one time. */
const PARALLEL = 8;

interface Reply {
  status: number;
  text: string;
}

/**
 * Without `fetch`, which costs several times as much. What is tried is noted nowhere: much of it may well be in the logs.
 */
export function thief(t: Test, url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: PARALLEL });
  t.teardown(() => agent.destroy());
  const send = (method: string, path: string, headers: Record<string, string>, body = ''): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const length = { 'content-length': String(Buffer.byteLength(body)) };
      const outgoing = request(url + path, {
        method,
        agent,
        headers: body === '' ? headers : { ...headers, ...length },
      });
      outgoing.once('error', reject).once('response', async (response) => {
        const chunks = await response.toArray();
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
      });
      outgoing.end(body);
    });
  const json = { 'content-type': 'application/json' };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const asClient = { grant_type: 'client_credentials', client_id: 'billing' };
  const isHeader = (text: string) => /^[\x21-\x7e]+$/.test(text);
  return {
    refresh: (token: string, key?: string) =>
      send(
        'POST',
        '/v1/refresh',
        { ...json, ...(key && { 'idempotency-key': key }) },
        JSON.stringify({ refresh_token: token }),
      ),
    bearer: (token: string) => send('GET', '/v1/me', { authorization: `Bearer ${token}` }),
    clientSecret: (secret: string) =>
      send('POST', '/oauth/token', form, String(new URLSearchParams({ ...asClient, client_secret: secret }))),
    /** Those of the texts that are taken. */
    async taken(texts: readonly string[], attempt: (text: string) => Promise<Reply>): Promise<string[]> {
      const candidates = [...new Set(texts)].filter(isHeader);
      const statuses = await Promise.all(candidates.map(async (text) => (await attempt(text)).status));
      const faults = statuses.filter((status) => status < 200 || status > 499 || status === 429);
      if (faults.length > 0) throw new Error(`answered with ${faults}`);
      return candidates.filter((_, n) => (statuses[n] ?? 0) < 300);
    },
  };
}
