import { type Client, type Grant, instant, type Sha256 } from '../../domain/types.js';
import type { ClientStore } from '../../ports/client-store.js';
import { auditRow } from './audit.js';
import { unlessTaken } from './availability.js';
import type { Database } from './database.js';
import type { Client as Row } from './generated/client.js';

const toDomain = (row: Row): Client => ({
  ...row,
  type: row.type as Client['type'],
  secretHash: row.secretHash as Sha256 | null,
  grants: row.grants as Grant[],
  tokenDelivery: row.tokenDelivery as Client['tokenDelivery'],
  createdAt: instant(row.createdAt.getTime()),
});

export const createClientStore = (database: Database): ClientStore => ({
  async find(clientId) {
    const row = await database.orm((prisma) => prisma.client.findUnique({ where: { clientId } }));
    return row && toDomain(row);
  },

  async create(client, event) {
    const data = {
      ...client,
      secretHash: client.secretHash && new Uint8Array(client.secretHash),
      audiences: [...client.audiences],
      scopes: [...client.scopes],
      grants: [...client.grants],
      requiredRoles: [...client.requiredRoles],
      corsOrigins: [...client.corsOrigins],
      createdAt: new Date(client.createdAt),
    };
    return unlessTaken(
      database.orm((prisma) =>
        prisma.$transaction([prisma.client.create({ data }), prisma.auditEvent.create({ data: auditRow(event) })]),
      ),
    );
  },
});
