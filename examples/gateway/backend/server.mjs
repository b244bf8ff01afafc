// An API that knows nothing of tokens, keys or logins: it believes the headers of the gateway, and so it listens where
// only the gateway gets to. PORT, 8080 unless set.
import { createServer } from 'node:http';
import { argv, env } from 'node:process';
import { fileURLToPath } from 'node:url';

const ordersOf = new Map();

/** Anything but visible ASCII, and `%` itself, comes percent-encoded; several are separated by blanks. */
const listOf = (header = '') => header.split(' ').filter(Boolean).map(decodeURIComponent);

const identityOf = ({ headers }) => ({
  user: headers['x-auth-subject'],
  session: headers['x-auth-session'] || null,
  client: headers['x-auth-client'],
  scopes: listOf(headers['x-auth-scope']),
  roles: listOf(headers['x-auth-roles']),
});

async function answer(request) {
  const me = identityOf(request);
  // Nobody gets here past the gateway without one. If somebody does, the gateway is not in front of everything.
  if (!me.user) return [500, { error: 'no identity: is the gateway in front of this?' }];
  const mine = ordersOf.get(me.user) ?? [];

  // As the gateway has seen it: `new URL` would take `//x/orders` for /orders.
  const [path] = request.url.split('?');
  const route = `${request.method} ${path}`;
  if (route === 'GET /whoami' || route === 'HEAD /whoami') return [200, me];
  if (route === 'GET /orders') return [200, { orders: mine }];
  if (route === 'POST /orders') {
    const order = JSON.parse(await textOf(request));
    ordersOf.set(me.user, [...mine, order]);
    return [201, order];
  }
  return [404, { error: 'not found' }];
}

async function textOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

export const server = createServer(async (request, response) => {
  // A bug, or a body that is no JSON, is this backend's own 500; the gateway hands it on as it is.
  const [status, body] = await answer(request).catch(() => [500, { error: 'something went wrong' }]);
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
});

if (argv[1] === fileURLToPath(import.meta.url)) server.listen(Number(env.PORT ?? 8080), '127.0.0.1');
