/** Where webhooks are sent to: an administrator must not be able to reach, through them, what only the service reaches. */
import ipaddr from 'ipaddr.js';

export interface WebhookAddresses {
  /** What is wrong with a URL, as far as that can be told without looking its name up. */
  problemWith(url: string): string | null;
  /** Asked for each address that is connected to, at that time: a name leads elsewhere the next time it is looked up. */
  mayConnect(address: string, url: URL): boolean;
}

export interface AddressSettings {
  /** Addresses and networks that may be connected to, though they are not public. */
  networks: readonly string[];
  production: boolean;
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Of all that is set aside for something, by the registries of the IANA, nothing is public; of IPv6 only this is handed out. */
const HANDED_OUT = ipaddr.IPv6.parseCIDR('2000::/3');
/** Public by its number, and answered by the machine's own host: where Azure keeps what its machines are told. */
const OF_THE_HOST = '168.63.129.16';

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast' || address.toString() === OF_THE_HOST) return false;
  return address.kind() === 'ipv4' || address.match(HANDED_OUT);
}

const isLoopback = (address: Address): boolean => address.range() === 'loopback';

/** `[…]` is how a URL has an IPv6 address. */
const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

export function createWebhookAddresses({ networks, production }: AddressSettings): WebhookAddresses {
  const named = networks.map((network) =>
    network.includes('/')
      ? ipaddr.parseCIDR(network)
      : ([ipaddr.process(network), ipaddr.process(network).kind() === 'ipv4' ? 32 : 128] as [Address, number]),
  );

  function mayConnect(text: string, { protocol }: URL): boolean {
    if (!ipaddr.isValid(text)) return false;
    const address = ipaddr.process(text);
    if (!production && isLoopback(address)) return true;
    if (protocol !== 'https:') return false;
    const isNamed = named.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
    return isNamed || isPublic(address);
  }

  return {
    mayConnect,
    problemWith(text) {
      if (!URL.canParse(text)) return 'not a URL';
      const url = new URL(text);
      const host = bare(url.hostname);
      const isNear = host === 'localhost' || (ipaddr.isValid(host) && isLoopback(ipaddr.process(host)));
      if (url.username !== '' || url.password !== '') return 'has credentials in it';
      if (url.hash !== '') return 'has a fragment';
      if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isNear && !production))
        return production ? 'not https:' : 'not https:, nor http: on loopback';
      if (ipaddr.isValid(host) && !mayConnect(host, url))
        return 'an address that is not public, nor among WEBHOOK_PRIVATE_NETWORKS';
      return null;
    },
  };
}
