/**
 * Who rents out servers, and sells VPNs: addresses from which people are seldom at home. By the names under which they are
 * registered as autonomous systems. It is no list of the wicked: company gateways and VPN users are there as well.
 *
 * Left out are Cloudflare, Akamai's edge and Fastly: through these come the private relays of phones and browsers, with
 * millions of people who did nothing but leave a switch as it was. So is AS8075, where all of Microsoft is, its staff too.
 */
const HOSTERS = [
  // Clouds
  'amazon',
  'aws',
  'google[- ]cloud',
  'microsoft[- ]azure',
  'oracle',
  'alibaba',
  'tencent',
  'huawei[- ]cloud',
  'ibm cloud',
  'softlayer',
  'rackspace',
  'salesforce',
  // Servers for anybody
  'digital ?ocean',
  'linode',
  'akamai connected cloud',
  'vultr',
  'choopa',
  'constant company',
  'hetzner',
  'ovh(?:cloud)?',
  'scaleway',
  'online s\\.?a\\.?s\\.?',
  'ionos',
  'strato',
  'contabo',
  'netcup',
  'leaseweb',
  'hostinger',
  'hostwinds',
  'godaddy',
  'namecheap',
  'dreamhost',
  'ramnode',
  'quadranet',
  'colocrossing',
  'hostpapa',
  'psychz',
  'zenlayer',
  'clouvider',
  'worldstream',
  'nforce',
  'serverius',
  'upcloud',
  'kamatera',
  'interserver',
  'selectel',
  'timeweb',
  'gcore',
  'g-core',
  // Where VPNs have their exits
  'm247',
  'datacamp',
  'cdn77',
  'packethub',
  'tzulo',
  'performive',
  'mullvad',
  '31173',
  'proton ?ag',
  'nord ?vpn',
  'expressvpn',
  'surfshark',
  'windscribe',
  'private internet access',
  // What others call themselves
  'hosting',
  'data ?cent(?:er|re)s?',
  'dedicated servers?',
  'virtual servers?',
  'cloud services?',
  'cloud computing',
  'vps',
  'vpn',
  'colo(?:cation)?',
];

// The letters around it are no part of a longer word, but for the digits that registries append: AMAZON-02.
const PATTERN = new RegExp(`(?<![a-z])(?:${HOSTERS.join('|')})(?![a-z])`, 'i');

export const isHosting = (organisation: string): boolean => PATTERN.test(organisation.slice(0, 200));
