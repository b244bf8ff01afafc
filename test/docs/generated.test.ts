import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { startService } from '../support/service.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);

interface Response {
  description: string;
  headers?: Record<string, unknown>;
  content?: Record<string, unknown>;
}
interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  security?: Record<string, string[]>[];
  requestBody?: { required: boolean; content: Record<string, unknown> };
  parameters?: { in: string; name: string; required: boolean }[];
  responses: Record<string, Response>;
}
interface Document {
  openapi: string;
  tags: { name: string }[];
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
  paths: Record<string, Record<string, Operation>>;
}

const document: Document = JSON.parse(readFileSync(`${root}docs/openapi.json`, 'utf8'));
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, name: `${method} ${path}`, operation })),
);
const operationAt = (method: string, path: string): Operation => {
  const operation = document.paths[path]?.[method];
  if (operation === undefined) throw new Error(`no ${method} ${path}`);
  return operation;
};

t.test('the generated documents are what the code says', async (t) => {
  await t.resolves(run(process.execPath, ['scripts/generate.js', '--check'], { cwd: root }));
});

t.test('the document in the repository is the one that a service serves', async (t) => {
  const { get } = await startService(t);
  const response = await get('/openapi.json');
  t.equal(response.statusCode, 200);
  t.same(response.json(), document);
  t.same((await get('/openapi.json')).json(), document, 'the second time too');
});

t.test('every operation says what it is, and how it can fail', async (t) => {
  const ids = operations.map(({ operation }) => operation.operationId);
  t.equal(new Set(ids).size, ids.length, 'ids are unique');
  for (const { path, name, operation } of operations) {
    t.ok(operation.operationId && operation.summary, `${name} has an id and a summary`);
    t.ok(
      operation.tags.every((tag) => document.tags.some(({ name }) => name === tag)),
      `${name} has known tags`,
    );
    const { responses } = operation;
    for (const status of ['400', '429', '500', '503']) t.ok(responses[status], `${name} declares ${status}`);
    const format = path.startsWith('/oauth/') ? 'application/json' : 'application/problem+json';
    for (const [status, { description, headers = {}, content = {} }] of Object.entries(responses)) {
      t.not(description, 'Default Response', `${name} describes ${status}`);
      if (Number(status) < 400) continue;
      t.same(Object.keys(content), [format], `${name} answers ${status} in its format`);
      if (status === '401') t.ok(headers['WWW-Authenticate'], `${name} challenges`);
      if (['429', '503'].includes(status))
        t.ok(headers['Retry-After'], `${name} says when to try again after ${status}`);
    }
    if (operation.requestBody)
      for (const status of ['413', '415']) t.ok(responses[status], `${name} declares ${status}`);
    for (const scheme of (operation.security ?? []).flatMap(Object.keys)) {
      t.ok(document.components.securitySchemes[scheme], `${name} has a known security scheme`);
      t.ok(responses['401'], `${name} declares 401`);
    }
  }
});

t.test('every reference leads somewhere', async (t) => {
  const references = JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g);
  const names = [...references].map(([, target]) => target?.replace('#/components/schemas/', '') ?? '');
  t.ok(names.length > 0);
  for (const name of new Set(names)) t.ok(document.components.schemas[name], name);
});

t.test('bodies are declared in the format in which they are read', async (t) => {
  const token = operationAt('post', '/oauth/token');
  t.same(Object.keys(token.requestBody?.content ?? {}), ['application/x-www-form-urlencoded']);
  t.same(token.security, [{ client: [] }, {}]);
  const logout = operationAt('post', '/v1/logout');
  t.equal(logout.requestBody?.required, false);
  t.same(Object.keys(logout.requestBody?.content ?? {}), ['application/json']);
  const end = operationAt('delete', '/v1/sessions/{id}');
  t.match(end.parameters, [{ in: 'path', name: 'id', required: true }]);
});
