// Makes the documents that follow from the code: docs/configuration.md, docs/errors.md, docs/openapi.json. With
// `--check` it writes nothing, and fails when one of them is not what the code says.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ensureBuilt, root } from './build.js';

ensureBuilt();
const { variables } = await import('../dist/src/config-variables.js');
const { errorCodes } = await import('../dist/src/domain/errors.js');
const { buildApp } = await import('../dist/src/http/app.js');
const { exceptions, mappings } = await import('../dist/src/http/errors.js');
const { createLogger } = await import('../dist/src/logger.js');

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const row = (...cells) => `| ${cells.map(cell).join(' | ')} |`;
const table = (head, rows) => [row(...head), row(...head.map(() => '---')), ...rows].join('\n');
const code = (text) => `\`${text}\``;

/** No variable accepts this, unless it accepts any text. */
const REFUSED = '\0';

function accepted({ parse }) {
  try {
    parse(REFUSED);
    return 'text';
  } catch (expected) {
    return expected;
  }
}

function defaultOf({ default: text, defaultMeaning }) {
  if (defaultMeaning !== undefined) return defaultMeaning;
  if (text === null) return 'unset';
  return text === '' ? 'none' : code(text);
}

function configuration() {
  const rows = Object.entries(variables).map(([name, spec]) => {
    const notes = [spec.secret ? 'Secret: never logged or shown.' : ''];
    const meaning = [`${spec.meaning}.`, ...notes].filter(Boolean).join(' ');
    return row(code(name), meaning, accepted(spec), defaultOf(spec));
  });
  return `<!-- Made from src/config-variables.ts by scripts/generate.js. Change it there, then run: npm run generate -->

# Configuration

Keyturn is configured by environment variables, all of them optional outside production. They are read once, at the
start. If any are wrong, the process lists all of them with what is expected, and exits with 1.

- A variable that is empty counts as unset.
- Every variable can come from a file: \`NAME_FILE\` names a file whose content, without blanks around it, is the value
  of \`NAME\`. Setting both is an error. Use it for secrets.
- A duration is a number of seconds, or a number with \`s\`, \`m\`, \`h\` or \`d\`.

${table(['variable', 'meaning', 'accepts', 'default'], rows)}

## Production

With \`NODE_ENV=production\` the service does not start unless

- \`ISSUER\` is set, and is \`https:\`;
- there is a key-encryption key in \`KEYS_DIR\`: outside production the first one is made at the first start;
- \`REDIS_URL\` is set, if \`DATABASE_URL\` is; \`SINGLE_PROCESS=true\` says that one process runs alone and needs none.

A variable that has no effect in this version is named in a warning at the start, if it is set.
`;
}

function errors() {
  const rows = Object.entries(errorCodes).map(([name, meaning]) => {
    const { status, oauth, oauthStatus = status } = mappings[name];
    const elsewhere = Object.entries(exceptions).flatMap(([path, codes]) =>
      codes[name] === undefined ? [] : [`; ${codes[name]} at ${code(path)}`],
    );
    return row(code(name), `${status}${elsewhere.join('')}`, `${code(oauth)}, ${oauthStatus}`, meaning);
  });
  return `<!-- Made from src/domain/errors.ts and src/http/errors.ts by scripts/generate.js. Change it there, then run: npm run generate -->

# Errors

Write clients against the codes: they are stable. Titles and details are for people and may change.

- At \`/v1\`, and wherever no other format is laid down, an error is an RFC 9457 problem document
  (\`application/problem+json\`) with \`type\`, \`title\`, \`status\`, \`detail\`, \`code\` and \`request_id\`.
  \`password_rejected\` adds \`reasons\`, \`not_ready\` adds \`missing\`, and \`signing_keys\` where it is about keys.
- At \`/oauth\` an error is what RFC 6749 §5.2 says: \`error\` and \`error_description\`. Several codes become one \`error\`
  there; the log has the code.
- A 401 has \`WWW-Authenticate\`. A 429 or 503 has \`Retry-After\`, in seconds.

A running service shows the same table at \`/docs/errors\`.

${table(['code', 'status', 'at `/oauth`', 'meaning'], rows)}
`;
}

/** The routes are only looked at, so that they need nothing of what stands behind them. */
async function openapi() {
  const app = await buildApp(
    { issuer: 'https://auth.example.com', requestLimiters: {} },
    { logger: createLogger('silent'), trustProxy: [], corsOrigins: [], connections: { all: 1, perAddress: 0 } },
  );
  try {
    return `${JSON.stringify(app.swagger(), null, 2)}\n`;
  } finally {
    await app.close();
  }
}

const documents = {
  'docs/configuration.md': configuration(),
  'docs/errors.md': errors(),
  'docs/openapi.json': await openapi(),
};

const read = (path) => (existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\r\n', '\n') : null);
const stale = Object.entries(documents).filter(([name, text]) => read(join(root, name)) !== text);

if (process.argv.includes('--check')) {
  for (const [name] of stale) process.stderr.write(`${name} is stale: run npm run generate\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const [name, text] of stale) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
    process.stdout.write(`wrote ${name}\n`);
  }
}
