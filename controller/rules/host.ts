import { hostEth0 } from './host-eth0.ts';
import { hostNet1 } from './host-net1.ts';
import { keptEth0 } from './host-via.ts';
import { model } from './model.ts';
import { printTable, type Table } from './nft.ts';
import { bothOf } from './redirect-names.ts';
import { formatWiring, wiringHash } from './wiring-json.ts';
import type { Wiring } from './wiring.ts';

/** The node's ends of one sandbox's links: what the piece cannot pass around, because it is not the piece's. */
export interface HostSide {
  /**
   * First 12 characters of the CNI container id. It names the table, because a netdev chain outlives its device and takes
   * the next one of that name: a table named by Pod or device could filter for a sandbox that is gone.
   */
  readonly sandbox: string;
  readonly wiring: Wiring;
  /** Host end of net1. */
  readonly net1: { readonly device: string };
  /** Host end of eth0; absent where it is no veth: then nothing is filtered there. */
  readonly eth0?: HostEth0;
  /** Host ends of the peers' net1 that are there now, by piece name. */
  readonly peerDevices: Readonly<Record<string, string>>;
  /** `fwd`: frames go straight to the peer's veth and never enter the bridge; `bridge`: they pass the filter and are bridged. */
  readonly link: 'fwd' | 'bridge';
}

export interface HostEth0 {
  readonly device: string;
  /** Of the piece's end. */
  readonly mac: string;
  /** All addresses that the piece may use there; a link-local one only where it does not follow from the MAC. */
  readonly podIPs: readonly string[];
  /** Of whom no policy is about: the node, as the piece's own table knows it. */
  readonly nodeIPs?: readonly string[];
}

/** The nftables text for the node's side of one sandbox: one transaction that replaces its table. */
export function compileHost(side: HostSide): string {
  return printTable(hostTable(side));
}

export const hostTablePrefix = 'podsplit-';

export function hostTableName(sandbox: string): string {
  if (!/^[A-Za-z0-9_.-]{1,12}$/.test(sandbox)) throw new TypeError(`not the beginning of a container id: ${sandbox}`);
  return `${hostTablePrefix}${sandbox}`;
}

/**
 * The same as data. Its marker is a hash of all that went in. The skeleton depends on role, link and what does not change
 * while the sandbox lives; peers and the devices that are there are elements.
 */
export function hostTable(side: HostSide): Table {
  const { wiring, eth0 } = side;
  const podIPs = [...new Set([...(eth0?.podIPs ?? []), ...(wiring.self.podIPs ?? [])])];
  const said = model(wiring, { podIPs, nodeIPs: eth0?.nodeIPs ?? [] });
  const both = bothOf(said);
  const kept = said.keptBy !== undefined;
  const parts = [
    hostNet1(side, both),
    ...(eth0 === undefined ? [] : [hostEth0(eth0, both, kept), ...(kept ? [keptEth0(eth0, both)] : [])]),
  ];
  return {
    family: 'netdev',
    name: hostTableName(side.sandbox),
    marker: markerOf(side),
    counters: parts.flatMap(({ counters }) => counters),
    sets: parts.flatMap(({ sets }) => sets),
    chains: parts.flatMap(({ chains }) => chains),
  };
}

function markerOf({ sandbox, wiring, net1, eth0, peerDevices, link }: HostSide): string {
  const devices = Object.entries(peerDevices).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const ends = [
    net1.device,
    eth0 === undefined ? [] : [eth0.device, eth0.mac, eth0.podIPs, eth0.nodeIPs ?? []],
    devices,
  ];
  return wiringHash(JSON.stringify([sandbox, link, ends, formatWiring(wiring)]));
}
