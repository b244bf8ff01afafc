/** Processes that are kept on one core each, where the machine can do that. */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';

/** All threads of the process; false where that cannot be done, or there is one core for all. */
export function pin(pid: number | undefined, core: number): boolean {
  // All that the machine has: a process that is on one core counts no other.
  if (pid === undefined || cpus().length <= core) return false;
  try {
    execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
