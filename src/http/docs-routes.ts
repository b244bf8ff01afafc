/** /openapi.json, made from the routes; /docs, a page that shows it; /docs/errors, every code in one table. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { type ErrorCode, errorCodes } from '../domain/errors.js';
import { exceptions, mappings } from './errors.js';
import { openapiOptions } from './openapi.js';
import type { App } from './typed.js';

export async function registerDocs(app: App): Promise<void> {
  await app.register(swagger, openapiOptions);
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    // There is one document, so that the bar for choosing another is of no use.
    theme: { title: 'Keyturn', css: [{ filename: 'keyturn.css', content: '.swagger-ui .topbar { display: none }' }] },
  });
}

/** The page is its own style and nothing else: nothing is to run in it, load into it or frame it. */
const ERRORS_PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

const errorsPage = (): string => {
  const rows = (Object.keys(errorCodes) as ErrorCode[]).map((code) => {
    const { status, oauth } = mappings[code];
    const elsewhere = Object.entries(exceptions).flatMap(([path, codes]) =>
      codes[code] === undefined ? [] : [`; ${codes[code]} at <code>${path}</code>`],
    );
    return `<tr id="${code}"><td><code>${code}</code><td>${status}${elsewhere.join('')}<td><code>${oauth}</code><td>${escapeHtml(errorCodes[code])}`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Keyturn: errors</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
td,th{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top}tr:target{background:#ff9}</style>
<h1>Errors</h1><p>Codes are stable; titles and details may change. <a href="/docs">The API</a></p>
<table><tr><th>code<th>status<th>at <code>/oauth</code><th>meaning
${rows.join('\n')}
</table></html>`;
};

export function docsRoutes(app: App): void {
  const hidden = { schema: { hide: true } };
  let document: string | undefined;
  app.get('/openapi.json', hidden, (_request, reply) => {
    document ??= JSON.stringify(app.swagger());
    return reply.type('application/json; charset=utf-8').send(document);
  });
  const page = errorsPage();
  app.get('/docs/errors', hidden, (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('content-security-policy', ERRORS_PAGE_POLICY).send(page),
  );
}
