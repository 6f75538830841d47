import type { Ear, FrameAttack, World } from '../attack/frame-attacks.ts';
import { appears } from './attacks.ts';
import { eth0Mac, node, otherPod, outside, sites, type Lab, type PieceName } from './lab.ts';

/** Who listens where; LLDP is not bridged, and is heard behind the filter of the port that it came in by. */
export const ears: Readonly<Record<Ear, Place>> = {
  'web net1': { who: 'web', device: 'net1' },
  'web eth0': { who: 'web', device: 'eth0' },
  'peer bridge': { who: 'node', device: 'ps-peers' },
  'peer port': { who: 'node', device: 'net1-statsd', protocol: 0x88cc },
  'pod link': { who: 'node', device: 'cni0' },
  // Pods are on one bridge here.
  'next to eth0': { who: 'other', device: 'eth0' },
  'other eth0': { who: 'other', device: 'eth0' },
  'outside eth0': { who: 'outside', device: 'eth0' },
};

interface Place {
  readonly who: PieceName | 'node' | 'other' | 'outside';
  readonly device: string;
  readonly protocol?: number;
}

const { web, cache, statsd } = sites;

function worldOf(lab: Lab): World {
  const shown = lab.node.run(['ip', '-6', 'address', 'show', 'dev', 'ps-peers']);
  return {
    web,
    cache,
    statsd: { ...statsd, eth0Mac: eth0Mac(statsd.mac) },
    other: otherPod,
    outside,
    node: {
      ...node,
      bridgeMac: macOf(lab, 'ps-peers'),
      bridgeLinkLocal: String(/inet6 (fe80[^/]+)/.exec(shown)?.[1]),
    },
    nextHop: { web: eth0Mac(web.mac), other: '0a:00:00:00:00:09', node: macOf(lab, 'cni0') },
    serviceIP: '10.96.0.10',
  };
}

function macOf(lab: Lab, device: string): string {
  return lab.node.run(['cat', `/sys/class/net/${device}/address`]).trim();
}

/** The node's netfilter sees bridged frames, as Kubernetes nodes often have it, and knows a Service with its backend. */
export async function withService<T>(lab: Lab, run: () => Promise<T>): Promise<T> {
  const seen = (value: 0 | 1): unknown =>
    lab.node.run(['sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${value}`]);
  seen(1);
  const { serviceIP } = worldOf(lab);
  lab.node.run(
    ['nft', '-f', '-'],
    `table ip services { chain prerouting { type nat hook prerouting priority dstnat;
       ip daddr ${serviceIP} udp dport 53 dnat to ${otherPod.ipv4}:9500; }; }`,
  );
  try {
    return await run();
  } finally {
    lab.node.run(['nft', 'delete', 'table', 'ip', 'services']);
    seen(0);
  }
}

let tokens = 0;

/** Whether the frame arrives within so many seconds. */
export async function arrives(lab: Lab, attack: FrameAttack, patience: number): Promise<boolean> {
  const { device, bypass = false } = attack.by;
  const { who, device: at } = ears[attack.heard];
  const token = (0x9e3779b97f4a0000n + BigInt(++tokens)).toString(16);
  await lab.statsd.must('frames', { interface: device, data: [attack.frame(token, worldOf(lab))].flat(), bypass });
  return appears(patience, async () => (await lab[who].must('heard', { interface: at, token })) === true);
}
