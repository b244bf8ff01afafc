/**
 * A session that slides, for a page: the token of the latest answer is kept where every tab of the origin finds it.
 * The client has `token_delivery: "header"`, and the page's origin is one of its `cors_origins`.
 */
export function slidingSession(baseUrl, { clientId, header = 'jwt', name = 'session', storage = localStorage }) {
  /**
   * What an answer brings takes the place of the token that its request was sent with, and of no other: somebody may have
   * logged out, or in as another user, while it was on its way.
   */
  function keep(response, sent) {
    const token = response.headers.get(header);
    if (storage.getItem(name) !== sent) return;
    if (token !== null) storage.setItem(name, token);
    // The session is over: idle for too long, logged out, revoked.
    else if (response.status === 401) storage.removeItem(name);
  }

  async function call(url, init = {}) {
    const sent = storage.getItem(name);
    const headers = new Headers(init.headers);
    if (sent !== null) headers.set('authorization', `Bearer ${sent}`);
    const response = await fetch(url, { ...init, headers });
    keep(response, sent);
    return response;
  }

  return {
    /** Sends the token with a request, and keeps the one that takes its place. Give it no address but your own. */
    fetch: call,

    async login(email, password) {
      storage.removeItem(name);
      const response = await fetch(`${baseUrl}/v1/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email, password, client_id: clientId }),
      });
      const token = response.headers.get(header);
      if (response.ok && token !== null) storage.setItem(name, token);
      return response;
    },

    async logout() {
      const response = await call(`${baseUrl}/v1/logout`, { method: 'POST' });
      storage.removeItem(name);
      return response;
    },

    get isLoggedIn() {
      return storage.getItem(name) !== null;
    },
  };
}
