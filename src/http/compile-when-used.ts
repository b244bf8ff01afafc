/**
 * Schemas become code when the first request needs them. All of them at once are most of what a start of the service and
 * of many a command takes: about half a second of the processor for some 200, of which a process may use three.
 */
import AjvCompiler from '@fastify/ajv-compiler';
import SerializerSelector from '@fastify/fast-json-stringify-compiler';
import type { FastifyServerOptions } from 'fastify';

/** What is compiled. A validator leaves in `errors` what is wrong. */
type Compiled<Value, Result> = ((value: Value) => Result) & { errors?: unknown };

/** `factory` makes, for one installation of Fastify, what compiles the schema of a part of a route. */
const whenUsed =
  <Installation extends unknown[], Route, Value, Result>(
    factory: (...installation: Installation) => (route: Route) => Compiled<Value, Result>,
  ) =>
  (...installation: Installation) => {
    const compile = factory(...installation);
    return (route: Route): Compiled<Value, Result> => {
      let compiled: Compiled<Value, Result> | null = null;
      const use: Compiled<Value, Result> = (value) => {
        compiled ??= compile(route);
        const result = compiled(value);
        use.errors = compiled.errors;
        return result;
      };
      return use;
    };
  };

type Factories = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>;

export const compilersFactory: Factories = {
  // What else a function of Ajv's has, its schema and its parts, matters to Fastify where values are coerced: none are here.
  buildValidator: whenUsed(AjvCompiler()) as unknown as NonNullable<Factories['buildValidator']>,
  buildSerializer: whenUsed(SerializerSelector()),
};
