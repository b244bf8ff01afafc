/** Ends of blocks: each node writes those of the blocks that began there. */
import type { Logger } from 'pino';
import type { Blocks } from '../domain/blocks.js';
import { every } from './every.js';

/** Seconds. */
const RUN_S = 1;

export const tellOfBlocks = (blocks: Pick<Blocks, 'tell'>, log: Pick<Logger, 'warn'>): (() => void) =>
  every(RUN_S, blocks.tell, (error) => log.warn({ err: error }, 'could not write down a block; trying again'));
