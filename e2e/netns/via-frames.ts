import { datagram, ethernet, packet4, packet6, tcpSyn4, type Fragment } from '../attack/frames.ts';
import { numberOf } from '../../controller/rules/addresses.ts';
import { eth0Mac, otherPod, sites, type Lab, type PieceName } from './lab.ts';

export interface Way {
  readonly from: PieceName;
  readonly to: { readonly ipv4: string; readonly ipv6: string };
  readonly nodeMac: string;
}

/** A frame that a packet socket in a kept piece sends by eth0, and where it is heard if it gets there. */
export interface KeptFrame {
  readonly name: string;
  readonly heard: 'outside' | 'other';
  /** What is looked for where it is heard; each frame has its own. */
  frame(token: string, way: Way): { readonly frame: string; readonly sign: string };
}

const ipv4 = 0x0800;
const ipv6 = 0x86dd;

/** Behind its header: sport 5353 to dport 53, what the kernel of the piece would not let out. */
function udp(name: string, version: 4 | 6, options: { port?: number; fragment?: Fragment } = {}): KeptFrame {
  return {
    name,
    heard: 'outside',
    frame: (token, { from, nodeMac, to }) => {
      const mac = { from: eth0Mac(sites[from].mac), to: nodeMac };
      const body = datagram(options.port ?? 53, token, 5353);
      const ip =
        version === 4
          ? packet4({ from: sites[from].podIPs[0], to: to.ipv4 }, 17, body, '', options.fragment)
          : packet6({ from: sites[from].podIPs[1], to: to.ipv6 }, 17, body);
      return { frame: ethernet(mac, version === 4 ? ipv4 : ipv6, ip), sign: token };
    },
  };
}

function icmp(name: string, version: 4 | 6, head: string, target = ''): KeptFrame {
  return {
    name,
    heard: 'outside',
    frame: (token, { from, nodeMac, to }) => {
      const mac = { from: eth0Mac(sites[from].mac), to: nodeMac };
      const about = target === '' ? '' : numberOf(sites[from].podIPs[1]).toString(16).padStart(32, '0');
      const body = Buffer.from(`${head}${about}${token}`, 'hex');
      const ip =
        version === 4
          ? packet4({ from: sites[from].podIPs[0], to: to.ipv4 }, 1, body)
          : packet6({ from: sites[from].podIPs[1], to: to.ipv6 }, 58, body);
      return { frame: ethernet(mac, version === 4 ? ipv4 : ipv6, ip), sign: token };
    },
  };
}

export const keptFrames: readonly KeptFrame[] = [
  udp('a datagram to an outside resolver', 4),
  udp('the same over IPv6', 6),
  udp('a datagram to any port', 4, { port: 4433 }),
  // The first one of two; the node's connection tracking is not asked here.
  udp('a fragment', 4, { fragment: { offset: 0, more: true } }),
  udp('a fragment without ports', 4, { fragment: { offset: 8, more: true } }),
  icmp('an echo request', 4, '0800000000010001'),
  icmp('an echo reply that nobody asked for', 4, '0000000000010001'),
  icmp('an echo request over IPv6', 6, '8000000000010001'),
  icmp('a neighbour solicitation beyond the link', 6, '8700000000000000', 'own'),
  icmp('a neighbour advertisement beyond the link', 6, '8800000000000000', 'own'),
  {
    name: 'the first packet of a TCP connection',
    heard: 'outside',
    frame: (token, { from, nodeMac, to }) => {
      const [source] = sites[from].podIPs;
      const port = Number.parseInt(token.slice(-3), 16) + 1024;
      const mac = { from: eth0Mac(sites[from].mac), to: nodeMac };
      const sign = [source, to.ipv4].map(hexadecimal).join('') + port.toString(16).padStart(4, '0');
      return { frame: tcpSyn4(mac, { from: source, to: to.ipv4 }, 80, port), sign };
    },
  },
  {
    name: "a query of the cluster's DNS",
    heard: 'other',
    frame: (token, { from }) => {
      const mac = { from: eth0Mac(sites[from].mac), to: '0a:00:00:00:00:09' };
      const ip = packet4({ from: sites[from].podIPs[0], to: otherPod.ipv4 }, 17, datagram(53, token, 5353));
      return { frame: ethernet(mac, ipv4, ip), sign: token };
    },
  },
];

function hexadecimal(address: string): string {
  return Buffer.from(address.split('.').map(Number)).toString('hex');
}

let tokens = 0;

/** Whether it gets there within so many seconds. */
export async function gets(
  lab: Lab,
  kept: KeptFrame,
  way: Omit<Way, 'nodeMac'>,
  appears: (check: () => Promise<boolean>) => Promise<boolean>,
): Promise<boolean> {
  const token = (0xa5c31e7b_0000_0000n + BigInt(++tokens) * 0x10001n).toString(16).slice(-16).padStart(16, '7');
  const nodeMac = lab.node.run(['cat', '/sys/class/net/cni0/address']).trim();
  const made = kept.frame(token, { ...way, nodeMac });
  await lab[way.from].must('frames', { interface: 'eth0', data: [made.frame], bypass: true });
  return appears(async () => (await lab[kept.heard].must('heard', { interface: 'eth0', token: made.sign })) === true);
}
