import type { App } from './typed.js';

/** Rejects in words for the operator when the port, which is the value of `variable`, is taken. */
export async function listen(app: App, host: string, port: number, variable: string): Promise<void> {
  try {
    await app.listen({ host, port, listenTextResolver: () => 'listening' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new Error(`port ${port} is in use: stop what listens there, or set ${variable} to another`, { cause: error });
  }
}
