import { isRecord } from '../api/json.ts';
import { peerInterface } from '../api/names.ts';
import type { Host } from '../netns/host.ts';
import { ip } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { keptBy } from '../rules/via-model.ts';
import type { Wiring } from '../rules/wiring.ts';
import { AgentError } from './agent-error.ts';
import type { HostEnds } from './sandbox.ts';

const podInterface = 'eth0';

type Link = Readonly<Record<string, unknown>>;

/**
 * The host end of eth0, whichever CNI made it: a veth's `link_index` is the index of its peer, here in the node's network
 * namespace. Undefined where eth0 is no veth (macvlan, SR-IOV, …) or its other end is elsewhere: it has to be where net1's is,
 * and to name eth0 in turn. An index of another namespace would be any device, and a filter on it could cut the node off.
 */
export async function hostEndOfEth0(netns: Host, node: Host): Promise<HostEnds['eth0']> {
  const [inside, outside] = await Promise.all([
    ip(['-json', '-details', 'address', 'show', 'type', 'veth'], netns),
    ip(['-json', '-details', 'link', 'show', 'type', 'veth'], node),
  ]);
  return matchingEnd(list(inside), list(outside));
}

/**
 * To be asked when net1 is there. Where the other end has to be on the node and is not found, the piece does not start: it
 * would run unfiltered.
 *
 * @param inside, outside the veths of the piece and of the node, as `ip` lists them
 * @throws NetnsError IpFailed
 */
export function matchingEnd(inside: readonly Link[], outside: readonly Link[]): HostEnds['eth0'] {
  const eth0 = inside.find(({ ifname }) => ifname === podInterface);
  const net1 = inside.find(({ ifname }) => ifname === peerInterface);
  if (net1 === undefined) throw new NetnsError('PeerInterfaceMissing', `there is no ${peerInterface} yet`);
  if (eth0 === undefined || net1['link_netnsid'] !== eth0['link_netnsid']) return undefined;
  const end = outside.find(
    ({ ifindex, link_index }) => ifindex === eth0['link_index'] && link_index === eth0['ifindex'],
  );
  if (end === undefined) throw new NetnsError('IpFailed', `the node's end of ${podInterface} is not to be found`);
  return { device: String(end['ifname']), mac: String(eth0['address']), linkLocal: linkLocalOf(eth0) };
}

/**
 * What any other piece is warned of is no start for one that is kept behind its proxy: a packet socket would be its way out.
 *
 * @throws AgentError EgressOpen
 */
export function checkEgress(wiring: Wiring, eth0: HostEnds['eth0']): void {
  const via = keptBy(wiring);
  if (via === undefined || eth0 !== undefined) return;
  throw new AgentError(
    'EgressOpen',
    `${wiring.piece} shall go out by ${via.to ?? 'nobody'} only, and its ${podInterface} is no veth: the node could not filter it`,
  );
}

/** Not all follow from the MAC (RFC 7217). */
function linkLocalOf(link: Link): readonly string[] {
  const infos: readonly unknown[] = Array.isArray(link['addr_info']) ? link['addr_info'] : [];
  return infos.flatMap((info) =>
    isRecord(info) && info['family'] === 'inet6' && info['scope'] === 'link' ? [String(info['local'])] : [],
  );
}

/** iproute2 prints nothing rather than [] where it has nothing to list, and {} for what it leaves out. */
function list(text: string): readonly Link[] {
  const links: unknown = text.trim() === '' ? [] : JSON.parse(text);
  return Array.isArray(links) ? links.filter((each) => isRecord(each)) : [];
}
