/** The OpenAPI document: its head, and what is made of the routes' declarations. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type JsonObject = { [name: string]: Json };

const description = `
Users, sessions with rotating refresh tokens, and the keys that sign access tokens.

- [Every error code](/docs/errors). \`/v1\` answers errors as RFC 9457 problem documents, \`/oauth\` as RFC 6749 §5.2 says.
- Unknown members of a body or a query are refused at \`/v1\`. A body is at most 16 KiB.
- Every answer has \`X-Request-Id\`; it is that of the request, if it sent one of 1 to 64 characters \`A-Za-z0-9._-\`.
- Answers have \`RateLimit-Policy\` and \`RateLimit\` (draft-ietf-httpapi-ratelimit-headers-11), with what is left to the \`address\`, the \`client\` or the \`session\` of the request. Probes and published documents are not counted.
- Before a request reaches an operation it can be refused with 404 \`not_found\`, 405 \`method_not_allowed\` (with \`Allow\`),
  408 \`request_timeout\` or 431 \`headers_too_large\`.
`.trim();

export const openapiOptions: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: { title: 'Keyturn', version: '1', description, license: { name: 'MIT', identifier: 'MIT' } },
    tags: [
      { name: 'account', description: 'A person’s account' },
      { name: 'session', description: 'One login on one device' },
      { name: 'gateway', description: 'For proxies in front of backends that know nothing of tokens' },
      { name: 'oauth', description: 'The standard endpoints' },
      { name: 'revocations', description: 'For services that check tokens by themselves' },
      { name: 'admin', description: 'For the audience `keyturn-admin` and the role `admin`; each change is audited' },
      { name: 'discovery', description: 'What verifiers read' },
      { name: 'health', description: 'Probes' },
    ],
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'An access token of a live session',
        },
        client: { type: 'http', scheme: 'basic', description: 'client_id and client_secret' },
      },
    },
  },
  transformObject: (input) =>
    'openapiObject' in input ? (tidy(input.openapiObject as unknown as JsonObject) as never) : input.swaggerObject,
};

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Leaves its argument alone: the plugin keeps it, and hands it out again. */
function tidy(document: JsonObject): JsonObject {
  const schemas: JsonObject = {};
  const walked = walk(document, schemas) as JsonObject;
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...walked, components: { ...(walked.components as JsonObject), schemas: sorted } };
}

/** A schema with a title is written once, under its title, and referred to. */
function walk(value: Json, schemas: JsonObject): Json {
  if (Array.isArray(value)) return value.map((item) => walk(item, schemas));
  if (!isObject(value)) return value;
  const members = Object.entries(value).map(([name, member]) => [
    name,
    name === 'requestBody' && isObject(member) ? walk(optionalBody(member), schemas) : walk(member, schemas),
  ]);
  const result = Object.fromEntries(members) as JsonObject;
  const { title, type } = result;
  if (typeof title !== 'string' || type === undefined) return result;
  if (title in schemas && JSON.stringify(schemas[title]) !== JSON.stringify(result))
    throw new Error(`two schemas have the title ${title}`);
  schemas[title] = result;
  return { $ref: `#/components/schemas/${title}` };
}

/** The framework says "nothing or an object" as a nullable schema; OpenAPI, as a body that is not required. */
function optionalBody(body: JsonObject): JsonObject {
  const content = Object.entries(body.content as Record<string, { schema: JsonObject }>);
  const [only] = content;
  const choices = only?.[1].schema.anyOf;
  if (only === undefined || !Array.isArray(choices)) return body;
  const rest = choices.filter((choice) => isObject(choice) && choice.type !== 'null');
  if (rest.length === choices.length || rest[0] === undefined) return body;
  return { ...body, required: false, content: { [only[0]]: { schema: rest[0] } } };
}
