/** When a request is over: it has its answer, or nobody waits for it any more. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

interface Progress {
  /** What came of it is known, and about to be sent. */
  isAnswered: boolean;
  hasHungUp: boolean;
  isOver: boolean;
}

/**
 * Calls `ended` once for each request, when it is known what came of it. A client that hangs up does not get its request
 * out of the log by that, nor a slow answer out of the measurements: Fastify's own onResponse is for sent answers alone.
 */
export function onRequestEnd(
  app: FastifyInstance,
  ended: (request: FastifyRequest, reply: FastifyReply, hasHungUp: boolean) => void,
): void {
  const inProgress = new WeakMap<FastifyRequest, Progress>();

  function end(request: FastifyRequest, reply: FastifyReply, progress: Progress): void {
    if (progress.isOver) return;
    progress.isOver = true;
    ended(request, reply, progress.hasHungUp);
  }

  // No promises: these run with each request.
  app.addHook('onRequest', (request, reply, done) => {
    const progress = { isAnswered: false, hasHungUp: false, isOver: false };
    inProgress.set(request, progress);
    reply.raw.once('close', () => {
      if (reply.raw.writableFinished) return;
      progress.hasHungUp = true;
      if (progress.isAnswered) end(request, reply, progress);
    });
    done();
  });
  app.addHook('onSend', (request, reply, payload, done) => {
    const progress = inProgress.get(request);
    if (progress !== undefined) {
      progress.isAnswered = true;
      if (progress.hasHungUp) end(request, reply, progress);
    }
    done(null, payload);
  });
  app.addHook('onResponse', (request, reply, done) => {
    const progress = inProgress.get(request);
    if (progress !== undefined) end(request, reply, progress);
    done();
  });
}
