/** What a person sees who starts the service by hand: where it is, and three lines to paste. */

const json = `-H 'content-type: application/json'`;
const account = `"email":"ada@example.com","password":"a long walk by the sea"`;

/** Plain POSIX shell and curl: `sed` takes the refresh token out of the answer to the login. */
export const pasteable = (address: string): { register: string; login: string; refresh: string } => ({
  register: `curl -sS ${address}/v1/users ${json} -d '{${account}}'; echo`,
  // The key is drawn with the token, not with the request: the line of the refresh may be sent any number of times.
  login: `LOGIN=$(curl -sS ${address}/v1/login ${json} -d '{${account}}'); KEY=$(date +%s)-$$; echo "$LOGIN"`,
  refresh: `curl -sS ${address}/v1/refresh ${json} -H "Idempotency-Key: $KEY" -d "{\\"refresh_token\\":\\"$(echo "$LOGIN" | sed 's/.*"refresh_token":"\\([^"]*\\)".*/\\1/')\\"}"; echo`,
});

export function welcome(address: string): string {
  const { register, login, refresh } = pasteable(address);
  return `
Keyturn   ${address}
JWKS      ${address}/.well-known/jwks.json
API       ${address}/docs

Try it, in another terminal:

${register}

${login}

${refresh}

The last line may be sent again, as if its answer had got lost: it gets the same one.

`;
}
