/** The public HTTP server: plugins, then routes, each registered here in so many words. */
import { accountRoutes } from './account-routes.js';
import { createProxies } from './addresses.js';
import { adminRoutes } from './admin/routes.js';
import { type AuthorizeSettings, authorizeRoutes } from './authorize-routes.js';
import { type BaseSettings, createApp, refuseUnknown } from './base-app.js';
import { administratorOf } from './bearer.js';
import { collectPaths, refuseOtherMethods } from './before-routing.js';
import { acceptForms, acceptJson } from './bodies.js';
import { type ConnectionLimits, limitConnections } from './connections.js';
import { allowOrigins, type CorsSettings } from './cors.js';
import { docsRoutes, registerDocs } from './docs-routes.js';
import { type HeaderDelivery, renewTokens } from './header-delivery.js';
import { healthRoutes } from './health-routes.js';
import { oauthRoutes } from './oauth-routes.js';
import { createRequestLimits, tellWhatIsLeft } from './request-limits.js';
import { revocationRoutes } from './revocation-routes.js';
import type { Services } from './services.js';
import { sessionRoutes } from './session-routes.js';
import { admit, shedLoad } from './shedding.js';
import { tokenStateRoutes } from './token-state-routes.js';
import type { App } from './typed.js';
import { wellKnownRoutes } from './well-known-routes.js';

export interface HttpSettings extends Omit<BaseSettings, 'limits'>, CorsSettings, HeaderDelivery, AuthorizeSettings {
  connections: ConnectionLimits;
}

export async function buildApp(services: Services, settings: HttpSettings): Promise<App> {
  const limits = createRequestLimits(services.requestLimiters, services.metrics);
  const app = createApp(services, { ...settings, limits });
  app.decorate('guard', services.guard);
  app.decorate('detection', services.detection);
  app.decorate('limits', limits);
  limitConnections(app.server, settings.connections, {
    isProxy: createProxies(settings.trustProxy),
    metrics: services.metrics,
    log: settings.logger,
  });
  renewTokens(app, services.renewToken, settings);
  await allowOrigins(app, services.directory, settings);
  tellWhatIsLeft(app, services.requestLimiters);
  // After the hook of CORS, so that a page can read that it has to wait, and for how long.
  app.addHook('onRequest', (request, _reply, done) => {
    limits.admit(request);
    admit(request, services.shedding);
    done();
  });
  shedLoad(app, services.shedding);
  const paths = collectPaths(app);
  await registerDocs(app);
  registerRoutes(app, services, settings, paths);
  await app.ready();
  return app;
}

function registerRoutes(app: App, services: Services, settings: HttpSettings, paths: ReadonlySet<string>): void {
  refuseUnknown(app);
  app.register(async (scope: App) => {
    acceptJson(scope);
    accountRoutes(scope, services, settings);
    sessionRoutes(scope, services);
    revocationRoutes(scope, services);
    adminRoutes(scope, services.administration, (request) => administratorOf(request, services.sessions));
  });
  app.register(async (scope: App) => authorizeRoutes(scope, services, settings));
  app.register(async (scope: App) => {
    acceptForms(scope);
    oauthRoutes(scope, services);
    tokenStateRoutes(scope, services);
  });
  app.register(async (scope: App) => {
    wellKnownRoutes(scope, services);
    healthRoutes(scope, services);
    docsRoutes(scope);
  });
  app.register(async (scope: App) => refuseOtherMethods(scope, paths));
}
