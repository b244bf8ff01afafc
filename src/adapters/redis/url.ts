/** The forms of REDIS_URL: one server, a master that Sentinels tell of, or a cluster. */

export interface RedisNode {
  host: string;
  port: number;
}

export interface RedisAddress {
  kind: 'server' | 'sentinel' | 'cluster';
  nodes: RedisNode[];
  tls: boolean;
  username?: string;
  password?: string;
  /** Of a server. */
  db?: number;
  /** What Sentinels call the master. */
  master?: string;
}

const DEFAULT_PORTS = { server: 6379, sentinel: 26_379, cluster: 6379 };

const decoded = (text: string): string | null => {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
};

function parseNode(text: string, port: number): RedisNode | null {
  // Not a special scheme, so that a port is never taken for a default and left out.
  const url = URL.canParse(`x://${text}`) ? new URL(`x://${text}`) : null;
  if (url === null || url.hostname === '' || url.host !== text) return null;
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? port : Number(url.port) };
}

/** Null for anything else. What is wrong is not said: the text may hold a password. */
export function parseRedisUrl(text: string): RedisAddress | null {
  const match = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^/?#]*))?$/.exec(text);
  if (match === null) return null;
  const [, secure, several, credentials = '', hosts = '', path = ''] = match;
  const kind = (several as 'sentinel' | 'cluster' | undefined) ?? 'server';
  const nodes = hosts.split(',').map((host) => parseNode(host, DEFAULT_PORTS[kind]));
  const [username, password] = credentials.split(/:(.*)/s, 2).map(decoded);
  if (nodes.includes(null) || username === null || password === null) return null;
  const address: RedisAddress = {
    kind,
    nodes: nodes as RedisNode[],
    tls: secure === 's',
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
  };
  if (kind === 'sentinel') return path === '' ? null : { ...address, master: path };
  if (kind === 'cluster') return path === '' ? address : null;
  if (nodes.length > 1 || !/^\d{0,4}$/.test(path)) return null;
  return path === '' ? address : { ...address, db: Number(path) };
}
