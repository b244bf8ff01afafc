/** Addresses as proxies tell of them, and as requests and connections are counted. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { copyOf } from '../domain/copy-of.js';
import { networkOf as parsedNetworkOf } from '../domain/limits.js';

/** Azure's gateways, for one, tell of the port too: `192.0.2.1:5678`, `[2001:db8::1]:5678`, `[2001:db8::1]`. */
const WITH_PORT = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/;

/** The address in an entry of X-Forwarded-For; null where it is none. */
export function addressIn(entry: string | undefined): string | null {
  if (entry === undefined) return null;
  if (isIP(entry) !== 0) return entry;
  const match = WITH_PORT.exec(entry);
  const address = match?.[1] ?? match?.[2] ?? '';
  return isIP(address) === 0 ? null : address;
}

export type IsProxy = (entry: string | undefined) => boolean;

/** Whether an address, or an entry of X-Forwarded-For, is one of `trusted`: addresses, and networks as CIDR. */
export function createProxies(trusted: readonly string[]): IsProxy {
  const networks = trusted.map((network) =>
    network.includes('/')
      ? ipaddr.parseCIDR(network)
      : ipaddr.parseCIDR(`${network}/${network.includes(':') ? 128 : 32}`),
  );
  const known = createMemory((entry) => {
    const text = addressIn(entry);
    if (text === null) return false;
    const [address, asSent] = [ipaddr.process(text), ipaddr.parse(text)];
    return networks.some(([network, bits]) =>
      [address, asSent].some((one) => one.kind() === network.kind() && one.match(network, bits)),
    );
  });
  return (entry) => entry !== undefined && networks.length > 0 && known(entry);
}

/** The same few come again and again, and parsing one costs as much as all else that is done to count it. */
const MAX_REMEMBERED = 10_000;
/** The longest form of IPv6 with a zone: what is longer is no address, and not worth remembering. */
const MAX_ADDRESS_LENGTH = 64;

function createMemory<T>(work: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const result = work(text);
    if (text.length > MAX_ADDRESS_LENGTH) return result;
    if (known.size >= MAX_REMEMBERED) known.clear();
    known.set(copyOf(text), result);
    return result;
  };
}

export const networkOf = createMemory(parsedNetworkOf);
