import { arpReply, portUnreachable4, routerAdvertisement, tcpSyn4, udp4 } from '../attack/frames.ts';
import { eth0Mac, outside, sites, type Lab, type PieceName } from './lab.ts';
import type { Namespace } from './namespace.ts';

/**
 * What a compromised piece does; mostly statsd, which may call web's port 9102 and nothing else. Each of them works
 * against the bare peer network (attacks.test.ts sees to that first), and none once the rules are in.
 */
export interface Attack {
  readonly name: string;
  /** Whether it got through within so many seconds. */
  run(lab: Lab, patience: number): Promise<boolean>;
  /** The piece's counter that tells of it. */
  readonly counted?: { readonly piece: PieceName; readonly counter: string };
}

const { web, cache, statsd } = sites;
const [webPod, cachePod] = [web.podIPs, cache.podIPs];

/** RFC 4291, appendix A, of 0a:00:c6:12:00:02. */
const webLinkLocal = 'fe80::800:c6ff:fe12:2%eth0';

function reach(from: PieceName, host: string, proto: 'tcp' | 'udp', port: number, counted?: Attack['counted']): Attack {
  return {
    name: `${from} calls ${host} at ${port}/${proto}`,
    run: async (lab, patience) => 'server' in (await lab[from].call({ proto, host, port, timeout: patience })),
    ...(counted === undefined ? {} : { counted }),
  };
}

const toWeb = { piece: 'statsd', counter: 'denied_out' } as const;

/** web's 9000 is in no flow, cache's 6301 is web's to call and not statsd's, web's 9102 is statsd's and not cache's. */
const undeclared: readonly Attack[] = (['tcp', 'udp'] as const).flatMap((proto) => [
  ...[web.ipv4, web.ipv6, `::ffff:${web.ipv4}`, webPod[0], webPod[1]].map((host) =>
    reach('statsd', host, proto, 9000, toWeb),
  ),
  ...[cache.ipv4, cachePod[0], cachePod[1]].map((host) => reach('statsd', host, proto, 6301, toWeb)),
  ...[web.ipv4, web.ipv6, webPod[0]].map((host) =>
    reach('cache', host, proto, 9102, { piece: 'cache', counter: 'denied_out' }),
  ),
  // The other direction of a flow: cache may be called, and not call back.
  reach('cache', web.ipv4, proto, 6301, { piece: 'cache', counter: 'denied_out' }),
  // From the primary's side as well.
  reach('web', cachePod[0], proto, 6301, { piece: 'web', counter: 'denied_out' }),
  reach('web', statsd.ipv6, proto, 9000, { piece: 'web', counter: 'denied_out' }),
  // Pods on one bridge are neighbours by eth0 too.
  reach('statsd', webLinkLocal, proto, 9000, { piece: 'web', counter: 'denied_eth0' }),
]);

/** A datagram that shows itself in the victim's log; a declared call behind it tells when it would have. */
function datagram(
  name: string,
  victim: PieceName,
  port: number,
  counter: string,
  send: (lab: Lab) => Promise<unknown>,
): Attack {
  return {
    name,
    run: async (lab, patience) => {
      const before = (await lab[victim].seen(port)).length;
      await send(lab);
      return appears(patience, async () => (await lab[victim].seen(port)).length > before);
    },
    counted: { piece: victim, counter },
  };
}

function frame(from: Namespace, data: string, device = 'net1'): Promise<unknown> {
  return from.must('frames', { interface: device, data: [data] });
}

/** The source port up to which the kernel knows connections of an earlier flood. */
let flooded = 10_000 - 25_000;

const statsdToWeb = { from: statsd.mac, to: web.mac };
const cacheToWeb = { from: cache.ipv4, to: web.ipv4 };

const forged: readonly Attack[] = [
  datagram("a peer's IP with the own MAC", 'web', 9105, 'spoofed', (lab) =>
    frame(lab.statsd, udp4(statsdToWeb, cacheToWeb, 9105)),
  ),
  datagram("a peer's IP to the broadcast MAC", 'web', 9105, 'spoofed', (lab) =>
    frame(lab.statsd, udp4({ from: statsd.mac, to: 'ff:ff:ff:ff:ff:ff' }, cacheToWeb, 9105)),
  ),
  datagram('127.0.0.1 from the neighbour (CVE-2020-8558)', 'web', 9200, 'spoofed', (lab) =>
    frame(lab.statsd, udp4(statsdToWeb, { from: statsd.ipv4, to: '127.0.0.1' }, 9200)),
  ),
  datagram("the primary's Pod IP by net1", 'web', 9000, 'spoofed', (lab) =>
    frame(lab.statsd, udp4(statsdToWeb, { from: statsd.ipv4, to: webPod[0] }, 9000)),
  ),
  datagram("a peer's Pod IP as source, by net1", 'web', 9000, 'spoofed', (lab) =>
    frame(lab.statsd, udp4(statsdToWeb, { from: cachePod[0], to: web.ipv4 }, 9000)),
  ),
  datagram("a facade client's address, by a sibling that is not the primary", 'cache', 7000, 'spoofed', (lab) =>
    frame(lab.statsd, udp4({ from: statsd.mac, to: cache.mac }, { from: outside.ipv4, to: cache.ipv4 }, 7000)),
  ),
  datagram("a peer's Pod IP as source, by eth0", 'web', 9000, 'denied_eth0', (lab) =>
    frame(
      lab.statsd,
      udp4({ from: eth0Mac(statsd.mac), to: eth0Mac(web.mac) }, { from: cachePod[0], to: webPod[0] }, 9000),
      'eth0',
    ),
  ),
  datagram('all nodes on the link of eth0', 'web', 9000, 'denied_eth0', (lab) =>
    lab.statsd.call({ proto: 'udp', host: 'ff02::1%eth0', port: 9000, timeout: 0.05 }),
  ),
  datagram('an address of the peer network by eth0, from another Pod', 'web', 9000, 'spoofed', (lab) =>
    frame(
      lab.other,
      udp4({ from: '0a:00:00:00:00:09', to: eth0Mac(web.mac) }, { from: '10.77.0.9', to: web.ipv4 }, 9000),
      'eth0',
    ),
  ),
  {
    ...datagram("a peer's IP by IP_TRANSPARENT", 'web', 9105, 'denied_out', (lab) =>
      lab.statsd.call({
        proto: 'udp',
        host: web.ipv4,
        port: 9105,
        source: cache.ipv4,
        transparent: true,
        timeout: 0.05,
      }),
    ),
    counted: { piece: 'statsd', counter: 'denied_out' },
  },
  {
    ...datagram("a peer's IP by IPV6_FREEBIND, which needs no privilege", 'web', 9105, 'denied_out', (lab) =>
      lab.statsd.call({ proto: 'udp', host: web.ipv6, port: 9105, source: cache.ipv6, freebind: true, timeout: 0.05 }),
    ),
    counted: { piece: 'statsd', counter: 'denied_out' },
  },
  {
    name: 'web as a router to the outside',
    run: async (lab, patience) => {
      const before = (await lab.outside.seen(9300)).length;
      await frame(lab.statsd, udp4(statsdToWeb, { from: statsd.ipv4, to: outside.ipv4 }, 9300));
      return appears(patience, async () => (await lab.outside.seen(9300)).length > before);
    },
    counted: { piece: 'web', counter: 'denied_in' },
  },
  {
    name: 'ARP: statsd says that cache is at its MAC',
    run: async (lab, patience) => {
      await lab.web.call({ proto: 'tcp', host: cache.ipv4, port: 6301, timeout: patience });
      await frame(lab.statsd, arpReply(statsdToWeb, cacheToWeb));
      return appears(patience, () =>
        Promise.resolve(lab.web.run(['ip', 'neighbour', 'show', cache.ipv4]).includes(statsd.mac)),
      );
    },
  },
  {
    name: 'statsd tells web that cache is unreachable (a forged RELATED)',
    run: async (lab, patience) => {
      const flow = { proto: 'udp', host: cache.ipv4, port: 6301, sport: 5000 } as const;
      await lab.web.open('related', flow);
      const quoted = { from: web.ipv4, to: cache.ipv4 };
      await frame(lab.statsd, portUnreachable4(statsdToWeb, { from: statsd.ipv4, to: web.ipv4 }, quoted, 6301, 5000));
      const broken = await appears(patience, async () => 'error' in (await lab.web.again('related', patience)));
      await lab.web.must('close', { key: 'related' });
      return broken;
    },
    counted: { piece: 'web', counter: 'denied_in' },
  },
  {
    name: 'spoofed SYNs fill the connection table',
    run: async (lab, patience) => {
      const before = connections(lab.web);
      const syns = range(1025, 30).map((sport) => tcpSyn4(statsdToWeb, cacheToWeb, 9000, sport));
      await lab.statsd.must('frames', { interface: 'net1', data: syns });
      return appears(patience, () => Promise.resolve(connections(lab.web) >= before + 30));
    },
    counted: { piece: 'web', counter: 'spoofed' },
  },
  {
    name: 'an allowed flow fills the connection table',
    run: async (lab, patience) => {
      const before = connections(lab.statsd);
      const mac = { from: web.mac, to: statsd.mac };
      flooded += 25_000;
      const datagrams = range(flooded, 25_000).map((sport) =>
        udp4(mac, { from: web.ipv4, to: statsd.ipv4 }, 8125, sport),
      );
      await lab.web.must('frames', { interface: 'net1', data: datagrams });
      return appears(patience, () => Promise.resolve(connections(lab.statsd) >= before + 20_000));
    },
    counted: { piece: 'statsd', counter: 'denied_in' },
  },
];

/** Needs web without `accept_ra=0`: tried apart from the others. */
export const routerAttack: Attack = {
  name: 'a router advertisement on net1',
  run: async (lab, patience) => {
    await frame(lab.statsd, routerAdvertisement(statsd.mac));
    return appears(patience, () =>
      Promise.resolve(/fdba:d:/.test(lab.web.run(['ip', '-6', 'route', 'show', 'dev', 'net1']))),
    );
  },
};

export const attacks: readonly Attack[] = [...undeclared, ...forged];

function connections(namespace: Namespace): number {
  return Number(namespace.run(['conntrack', '-C']).trim());
}

function range(first: number, count: number): readonly number[] {
  return [...Array(count).keys()].map((n) => first + n);
}

/** Whether it becomes true while the attack may still be on its way. */
export async function appears(patience: number, condition: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + 1000 * patience;
  do {
    if (await condition()) return true;
  } while (performance.now() < end);
  return false;
}
