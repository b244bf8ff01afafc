export {
  type AuthClient,
  type AuthClientOptions,
  type Credentials,
  createAuthClient,
  type Login,
} from './auth-client.js';
export { AuthError } from './errors.js';
export type { SessionEndReason } from './record.js';
export { type AuthStorage, memoryStorage } from './storage.js';
export { type WebStore, webStorage } from './web-storage.js';
