/** How the image starts the service, for whoever measures it: read from the Dockerfile. */
import { readFileSync } from 'node:fs';

const file = readFileSync(new URL('../../../Dockerfile', import.meta.url), 'utf8');

function found(pattern: RegExp): string {
  const [, what] = pattern.exec(file) ?? [];
  if (what === undefined) throw new Error(`the Dockerfile has no ${pattern}`);
  return what;
}

const entrypoint: string[] = JSON.parse(found(/^ENTRYPOINT (.*)$/m));

export const image = {
  nodeFlags: entrypoint.filter((word) => word.startsWith('--')),
  environment: { GLIBC_TUNABLES: found(/GLIBC_TUNABLES=(\S+)/) },
};
