/**
 * Schemas become code when the first request needs them. All of them at once are most of what a start of the service and
 * of many a command takes: about half a second of the processor for some 200, of which a process may use three.
 */
import AjvCompiler from '@fastify/ajv-compiler';
import SerializerSelector from '@fastify/fast-json-stringify-compiler';

// biome-ignore lint/suspicious/noExplicitAny: fastify hands these functions from one to the other, whatever they take.
type Any = any;
/** Of one installation of Fastify, for one route and part of it: the function that is compiled. */
type Factory = (...installation: Any[]) => (route: Any) => ((value: Any) => Any) & { errors?: Any };

const whenUsed =
  (factory: Factory): Factory =>
  (...installation) => {
    const compile = factory(...installation);
    return (route) => {
      let compiled: ReturnType<typeof compile> | null = null;
      const use = (value: Any) => {
        compiled ??= compile(route);
        const result = compiled(value);
        // Where a validator leaves what is wrong.
        use.errors = compiled.errors;
        return result;
      };
      use.errors = undefined as Any;
      return use;
    };
  };

export const compilersFactory = {
  buildValidator: whenUsed(AjvCompiler()),
  buildSerializer: whenUsed(SerializerSelector()),
};
