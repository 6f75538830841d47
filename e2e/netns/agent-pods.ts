// A split Pod as API server and runtime would tell the node agent of it.

import type { CniRequest } from '../../controller/agent/cni-request.ts';
import type { Flow } from '../../controller/api/flow.ts';
import { splitId } from '../../controller/api/identity.ts';
import { ownAnnotations, ownLabels, readinessGate } from '../../controller/api/names.ts';
import type { Pod } from '../../controller/kube/resources.ts';
import { formatWiring } from '../../controller/rules/wiring-json.ts';
import type { Wiring } from '../../controller/rules/wiring.ts';
import { flows, sites, wiringOf, type PieceName } from './lab.ts';
import { namePrefix } from './namespace.ts';

const primaryUid = 'uid-web';
export const pieces = ['web', 'cache', 'statsd'] as const;
const network = 'podsplit-shop-0a1b2c3d4e5f-node';
export const patience = 0.3;
export const denied = { error: 'ETIMEDOUT' };

/** As the controller writes it in install mode `node`: without Pod IPs. */
export function wiringText(
  piece: PieceName,
  wanted: readonly Flow[] = flows,
  changed: Pick<Wiring, 'observe' | 'via'> = {},
): string {
  const withoutPodIPs = <T extends { readonly podIPs?: unknown }>({ podIPs: _, ...rest }: T) => rest;
  const { self, peers, ...rest } = wiringOf(piece, { split: splitId(primaryUid), flows: wanted, ...changed });
  const plainPeers = peers.map(({ name, role, mac, ipv4, ipv6 }) => ({
    name,
    role,
    mac,
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
  }));
  return formatWiring({ ...rest, self: withoutPodIPs(self), peers: plainPeers });
}

export function podOf(piece: PieceName, wiring = wiringText(piece)): Pod {
  const isPrimary = piece === 'web';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'shop',
      name: piece,
      uid: `uid-${piece}`,
      labels: {
        [ownLabels.role]: isPrimary ? 'primary' : 'sibling',
        [ownLabels.split]: splitId(primaryUid),
        [ownLabels.container]: piece,
      },
      annotations: { [ownAnnotations.wiring]: wiring },
      ...(isPrimary
        ? {}
        : { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'web', uid: primaryUid, controller: true }] }),
    },
    spec: { containers: [{ name: piece }], readinessGates: [{ conditionType: readinessGate }] },
  };
}

export function idOf(piece: PieceName): string {
  return `${piece.padEnd(12, '0')}-the-rest-of-the-id`;
}

export function requestOf(
  command: CniRequest['command'],
  piece: PieceName,
  id: string,
  phase: 'close' | 'wire',
): CniRequest {
  const netns = `/var/run/netns/${namePrefix}${piece}`;
  const { mac, ipv4, ipv6 } = sites[piece];
  return {
    command,
    containerID: id,
    netns,
    ifname: 'net1',
    pod: { namespace: 'shop', name: piece, uid: `uid-${piece}` },
    config: {
      cniVersion: '1.0.0',
      name: network,
      phase,
      prevResult: {
        cniVersion: '1.0.0',
        interfaces: [{ name: 'ps-peers' }, { name: `net1-${piece}` }, { name: 'net1', mac, sandbox: netns }],
        ips: [`${ipv4}/15`, `${ipv6}/64`].map((address) => ({ interface: 2, address })),
      },
      validAttachments: [],
    },
  };
}

/** The code of the refusal. */
export async function refusal(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return (error as { code?: string }).code ?? error;
  }
  return 'none';
}
