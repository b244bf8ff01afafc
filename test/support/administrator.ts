/** An administrator, as the command line makes the first one. */
import type { UserId } from '../../src/domain/types.js';
import type { TestService, Tokens } from './service.js';

export const AT_THE_CONSOLE = {
  actor: 'cli:ops',
  userId: null,
  caller: { ip: null, place: null, userAgent: null, requestId: null },
};

/** Logged in at the client of administration. */
export async function adminTokens(service: TestService, email = 'root@example.com'): Promise<Tokens & { id: UserId }> {
  const id = (await service.register(email)) as UserId;
  await service.services.administration.users.setRoles(id, ['admin'], AT_THE_CONSOLE);
  return { ...(await service.login(email, { client_id: 'keyturn-admin' })), id };
}
