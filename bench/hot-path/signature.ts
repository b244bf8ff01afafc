/** A process that says, whenever it is asked, how many microseconds of the processor a signature takes: RSA-2048, SHA-256. */
import { generateKeyPairSync, sign } from 'node:crypto';

const SLICE_MS = 300;
const SIGNED_AT_ONCE = 10;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
// About as long as the signed part of an access token.
const input = Buffer.alloc(500, 'a');

process.on('message', () => {
  const begun = performance.now();
  const before = process.cpuUsage();
  let signatures = 0;
  for (; performance.now() - begun < SLICE_MS; signatures += SIGNED_AT_ONCE)
    for (let i = 0; i < SIGNED_AT_ONCE; i++) sign('sha256', input, privateKey);
  const { user, system } = process.cpuUsage(before);
  process.send?.((user + system) / signatures);
});
