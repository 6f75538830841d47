import { shortHash } from '../api/identity.ts';
import { compileTable } from '../rules/compile.ts';
import { hostLinks } from '../rules/host-links.ts';
import { hostTable, type HostSide } from '../rules/host.ts';
import { links, type LinkBatches } from '../rules/links.ts';
import { printTable, type Table } from '../rules/nft.ts';
import { observedFlows } from '../rules/observe.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import type { Wiring } from '../rules/wiring.ts';
import { shortId, type Sandbox } from './sandbox.ts';

/** What a sandbox shall have, given who else of its Pod is on this node. */
export interface Compiled {
  readonly wiring: Wiring;
  /** In the piece's network namespace. */
  readonly piece: Table;
  /** On the node: the filter of the links, and what the bridge has of them. */
  readonly host: Table;
  readonly hostLinks: readonly string[];
  readonly links: LinkBatches;
  readonly linksHash: string;
  /** Of both tables, whole. */
  readonly tablesHash: string;
}

/** All that the tables of a sandbox are made of, its own part and that of its peers. */
export type OwnPart = Pick<Sandbox, 'id' | 'wiring' | 'local' | 'host' | 'listening'>;
export type PeerPart = Pick<Sandbox, 'piece' | 'local' | 'host' | 'listening'>;

/** @param peers the other sandboxes of the same split Pod */
export function compileSandbox(sandbox: OwnPart, peers: readonly PeerPart[]): Compiled {
  const wiring = withObserved(withPodIPs(parseWiring(sandbox.wiring), sandbox, peers), sandbox, peers);
  const wanted = links(wiring, sandbox.local);
  const { eth0, net1 } = sandbox.host;
  const side: HostSide = {
    sandbox: shortId(sandbox.id),
    wiring,
    net1: { device: net1 },
    ...(eth0 === undefined
      ? {}
      : {
          eth0: {
            ...eth0,
            podIPs: [...sandbox.local.podIPs, ...eth0.linkLocal],
            nodeIPs: sandbox.local.nodeIPs,
          },
        }),
    peerDevices: Object.fromEntries(peers.map((peer) => [peer.piece, peer.host.net1])),
    // Faster than the bridge, and closes what br_netfilter opens there (docs/decisions/0015-frames-go-to-the-peer.md).
    link: 'fwd',
  };
  const piece = compileTable(wiring, sandbox.local);
  const host = hostTable(side);
  return {
    wiring,
    piece,
    host,
    hostLinks: hostLinks(side),
    links: wanted,
    linksHash: shortHash(JSON.stringify(wanted), 16),
    tablesHash: shortHash(printTable(piece) + printTable(host), 16),
  };
}

/**
 * The pieces of a Pod are on one node, so the agent knows their Pod IPs before any of their programs runs: nobody has to
 * tell it, and a sandbox that was made anew is known at once.
 */
function withPodIPs(wiring: Wiring, sandbox: OwnPart, peers: readonly PeerPart[]): Wiring {
  return {
    ...wiring,
    self: { ...wiring.self, podIPs: sandbox.local.podIPs },
    peers: wiring.peers.map((peer) => {
      const there = peers.find(({ piece }) => piece === peer.name);
      return there === undefined ? peer : { ...peer, podIPs: there.local.podIPs };
    }),
  };
}

/** What is declared nowhere, and used all the same where nothing is enforced. */
function withObserved(wiring: Wiring, sandbox: OwnPart, peers: readonly PeerPart[]): Wiring {
  if (wiring.observe === undefined) return wiring;
  const listening = new Map([
    [wiring.piece, sandbox.listening ?? []],
    ...peers.map((peer) => [peer.piece, peer.listening ?? []] as const),
  ]);
  return { ...wiring, flows: [...wiring.flows, ...observedFlows(wiring, listening)] };
}
