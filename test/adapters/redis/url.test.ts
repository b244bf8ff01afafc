import t from 'tap';
import { parseRedisUrl } from '../../../src/adapters/redis/url.js';

const server = { kind: 'server', tls: false };

for (const [text, expected] of [
  ['redis://127.0.0.1', { ...server, nodes: [{ host: '127.0.0.1', port: 6379 }] }],
  ['redis://redis:6380', { ...server, nodes: [{ host: 'redis', port: 6380 }] }],
  ['redis://redis/', { ...server, nodes: [{ host: 'redis', port: 6379 }] }],
  ['redis://redis/3', { ...server, nodes: [{ host: 'redis', port: 6379 }], db: 3 }],
  ['rediss://redis', { ...server, tls: true, nodes: [{ host: 'redis', port: 6379 }] }],
  ['redis://[::1]:7', { ...server, nodes: [{ host: '::1', port: 7 }] }],
  ['redis://:pa%3Ass@redis', { ...server, nodes: [{ host: 'redis', port: 6379 }], password: 'pa:ss' }],
  ['redis://me:a:b@redis', { ...server, nodes: [{ host: 'redis', port: 6379 }], username: 'me', password: 'a:b' }],
  ['redis://me@redis', { ...server, nodes: [{ host: 'redis', port: 6379 }], username: 'me' }],
  [
    'redis+sentinel://a,b:7/main',
    {
      kind: 'sentinel',
      tls: false,
      nodes: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 7 },
      ],
      master: 'main',
    },
  ],
  [
    'rediss+cluster://:x@a:1,b',
    {
      kind: 'cluster',
      tls: true,
      password: 'x',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 6379 },
      ],
    },
  ],
] as const) {
  t.test(`${text} is an address`, async (t) => t.strictSame(parseRedisUrl(text), expected));
}

for (const text of [
  '',
  'redis://',
  'http://redis',
  'redis://a,b',
  'redis://redis/one',
  'redis://redis/12345',
  'redis://redis?db=1',
  'redis://redis#1',
  'redis://redis:0x10',
  'redis://redis:70000',
  'redis://a@b@c',
  'redis://%zz@redis',
  'redis://re dis',
  'redis+sentinel://a,b',
  'redis+cluster://a/0',
  'redis+cluster://a,,b',
  'redis+else://a',
  ' redis://a',
]) {
  t.test(`"${text}" is none`, async (t) => t.equal(parseRedisUrl(text), null));
}
