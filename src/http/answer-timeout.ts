/**
 * Answers that take too long are given up. Fastify's own limit makes an AbortController for each request, and aborts it at
 * the end of each, which nobody listens to: a tenth of what a refresh costs.
 */
import { Refusal } from '../domain/errors.js';
import type { App } from './typed.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer has no end, and nobody waits for it. */
    endless?: boolean;
  }
}

export function limitAnswers(app: App, milliseconds: number): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.endless !== true) {
      const timer = setTimeout(() => {
        // What comes of the work that goes on is in the log, and nowhere else.
        if (!reply.sent) reply.send(new Refusal('overloaded'));
      }, milliseconds);
      reply.raw.once('close', () => clearTimeout(timer));
    }
    done();
  });
}
