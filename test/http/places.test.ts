/** The place of an address, in the list of devices and in the audit trail; with the database of the service. */
import t from 'tap';
import { COUNTRY_DATABASE, openPlaces } from '../../src/adapters/geo/places.js';
import { rowsOf, startService, type Tokens } from '../support/service.js';

const service = await startService(t, {
  env: { TRUST_PROXY: '127.0.0.1' },
  places: await openPlaces(COUNTRY_DATABASE),
});
const email = 'ada@example.com';
const US = '8.8.8.8';
const NL = '193.0.6.139';
const PRIVATE = '10.1.2.3';

const postFrom = (ip: string, url: string, body: unknown) => service.post(url, body, { 'x-forwarded-for': ip });
const loginFrom = (ip: string, password = 'a long walk by the sea') => postFrom(ip, '/v1/login', { email, password });

t.before(() => service.register(email));

t.test('a device has the place of the address it was last seen at', async (t) => {
  let tokens: Tokens = (await loginFrom(US)).json();
  const device = async () => {
    const { sessions } = (await service.get('/v1/sessions', tokens.access_token)).json();
    return sessions.find(({ id }: { id: string }) => id === tokens.session_id);
  };
  t.match(await device(), { ip: US, place: 'US' });
  for (const [ip, place] of [
    [NL, 'NL'],
    [PRIVATE, null],
    ['2001:4860:4860::8888', 'US'],
  ] as const) {
    tokens = (await postFrom(ip, '/v1/refresh', { refresh_token: tokens.refresh_token })).json();
    t.match(await device(), { ip, place });
  }
});

t.test('every event has the place of its address', async (t) => {
  await loginFrom(US);
  await loginFrom(NL, 'a wrong one');
  await loginFrom(PRIVATE);
  await postFrom(NL, '/v1/users', { email: 'eve@example.com', password: 'a long walk by the sea' });
  const events = await rowsOf(service.database, 'audit_events', 'ip IS NOT NULL ORDER BY id DESC LIMIT 4');
  t.same(
    events.map(({ event, ip, place }) => [event, ip, place]),
    [
      ['user.created', NL, 'NL'],
      ['login.succeeded', PRIVATE, null],
      ['login.failed', NL, 'NL'],
      ['login.succeeded', US, 'US'],
    ],
  );
});
