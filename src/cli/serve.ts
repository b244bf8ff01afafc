import { Command } from 'commander';
import { readConfig } from '../config.js';

export const serveCommand = (): Command =>
  new Command('serve')
    .description('Run the service until SIGTERM; logs are JSON lines on stdout')
    .addHelpText('after', '\nExample:\n  PORT=8080 keyturn serve')
    .action(async () => {
      const config = readConfig();
      // Loaded here, so that help and the other commands need not wait for the whole service.
      const [{ createLogger }, { serve }] = await Promise.all([import('../logger.js'), import('../main.js')]);
      const log = createLogger(config.LOG_LEVEL);
      const fatal = (error: unknown) => {
        log.fatal({ err: error }, 'unexpected failure; stopping');
        process.exit(1);
      };
      process.on('uncaughtException', fatal);
      process.on('unhandledRejection', fatal);
      await serve(config, log);
    });
