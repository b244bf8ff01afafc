import t from 'tap';
import { deviceOf } from '../../../src/adapters/user-agents/device.js';

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)';

t.test('browsers are told by their family and system, without versions', async (t) => {
  const rows: [string, string][] = [
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:120.0) Gecko/20100101 Firefox/120.0', 'Firefox on Windows'],
    [
      `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${WEBKIT} Chrome/120.0 Safari/537.36 Edg/120.0`,
      'Microsoft Edge on Windows',
    ],
    [`Mozilla/5.0 (Linux; Android 14; Pixel 8) ${WEBKIT} Chrome/120.0 Mobile Safari/537.36`, 'Chrome on Android'],
    [`Mozilla/5.0 (X11; Linux x86_64) ${WEBKIT} Chrome/121.0 Safari/537.36`, 'Chrome on Linux'],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Version/17.1 Mobile/15E148 Safari/604.1',
      'Safari on iOS',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1',
      'Safari on iOS',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15',
      'Safari on macOS',
    ],
  ];
  for (const [userAgent, name] of rows) t.equal(deviceOf(userAgent), name);
});

t.test('apps and tools are told by the name of their product', async (t) => {
  const rows: [string, string | null][] = [
    ['MyApp/1.2 okhttp/4.9', 'MyApp'],
    ['MyApp/1.3 okhttp/4.12.0', 'MyApp'],
    ['okhttp/4.9', 'okhttp'],
    ['MyApp/1.2 CFNetwork/1410.0.3 Darwin/22.6.0', 'MyApp'],
    ['My%20App/7 CFNetwork/1410.0.3 Darwin/22.6.0', 'My20App'],
    ['MyApp/1.2 (iPhone; iOS 17.1; Scale/3.00)', 'MyApp on iOS'],
    ['My App/3 (build 4; iOS 16.0.0) Alamofire/5.0', 'My App on iOS'],
    ['MyApp 2.1.0', 'MyApp'],
    ['MyApp-android-4.5.6', 'MyApp-android'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Gecko/20100101 Thunderbird/115.3', 'Thunderbird on macOS'],
    ['Mozilla/5.0', 'Mozilla'],
    ['Dart/3.1 (dart:io)', 'Dart'],
    ['curl/8.1', 'curl'],
    ['python-requests/2.3', 'python-requests'],
    ['Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B)', 'Dalvik on Android'],
    ['node', 'node'],
    ['', null],
    ['1.2.3', null],
    ['(((', null],
  ];
  for (const [userAgent, name] of rows) t.equal(deviceOf(userAgent), name, userAgent);
  t.equal(deviceOf(null), null);
});

t.test('names are short, and whole letters, whatever was sent', async (t) => {
  const hostile = [
    '𝒜'.repeat(256),
    `a${'𝒜'.repeat(255)}`,
    '\ud835'.repeat(512),
    '<script>alert(1)</script>',
    'a\r\nb: c',
    '名前/1.0',
  ];
  for (const userAgent of hostile) {
    const name = deviceOf(userAgent) ?? '';
    t.ok(name.length <= 48, userAgent);
    t.notMatch(name, /[<>\r\n\p{Cs}]/u, userAgent);
  }
  t.equal(deviceOf('名前/1.0'), '名前');
});

t.test('no user agent takes a millisecond', async (t) => {
  const parts = [
    ...[
      'a',
      '(',
      ')',
      '()',
      ' ',
      '/',
      '/1.1',
      '1.',
      '1 ',
      'Mozilla/',
      'Version/',
      'Android ',
      'Linux;',
      'Mac OS X 1_',
      'bot ',
    ],
    ...['safari chrome ', 'compatible; ', 'iPhone os 1.', '€', '𝒜', '\u0000', 'Opera Mini ', 'MSIE ', 'rv:1'],
  ];
  for (const part of parts) {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      // Not one that is known already.
      const userAgent = `${i % 2 ? 'Mozilla/' : ''}${part.repeat(512)}`.slice(0, 500) + i;
      const begun = performance.now();
      deviceOf(userAgent);
      times.push(performance.now() - begun);
    }
    const [least = Number.POSITIVE_INFINITY] = times.sort((a, b) => a - b);
    t.ok(least < 1, `${JSON.stringify(part)}: ${least.toFixed(2)} ms`);
  }
});
