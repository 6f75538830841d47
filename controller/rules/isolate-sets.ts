import type { IsolateFamily, IsolateModel } from './isolate-model.ts';
import type { NamedSet } from './nft.ts';
import { recordSeconds, recordSize } from './redirect-sets.ts';

export function isolateSets(model: IsolateModel): readonly NamedSet[] {
  return [
    plain('self', 'mark', model.self, 'a container that calls itself'),
    plain(
      'flows',
      'mark . inet_proto . inet_service',
      model.flows,
      'caller and answerer: who may call whom at which port',
    ),
    plain(
      'calls',
      'mark . inet_service',
      model.calls,
      'UDP is delivered before anybody answers: ports of flows, and own declared ones',
    ),
    plain(
      'taken',
      'mark . inet_service',
      model.taken,
      "other containers' declared TCP ports, which this caller has no flow to",
    ),
    {
      ...plain('served', 'inet_service : mark', model.served, 'whose UDP port it is, for callers from outside'),
      kind: 'map',
    },
    plain('probed', 'mark . inet_service', model.probed, 'ports that the kubelet probes'),
    ...familySets(model.ipv4, '4', 'ipv4_addr'),
    ...familySets(model.ipv6, '6', 'ipv6_addr'),
  ];
}

function familySets(data: IsolateFamily, n: string, addr: string): readonly NamedSet[] {
  const ranges = (name: string, type: string, elements: readonly string[], comment: string): NamedSet => ({
    ...plain(`${name}${n}`, type, elements, comment),
    kind: 'ranges',
  });
  const endpoint = `mark . ${addr} . inet_proto . inet_service`;
  return [
    plain(`node${n}`, addr, data.nodes, "where the kubelet's probes come from"),
    ranges('egress', endpoint, data.egress, 'what a container may call beyond the Pod'),
    ranges('egress_all', `mark . ${addr}`, data.egressAll, 'the same, whatever the protocol'),
    ranges('ingress', endpoint, data.ingress, 'who may call a container from beyond the Pod'),
    ranges('ingress_all', `mark . ${addr}`, data.ingressAll, 'the same, whatever the protocol'),
    { ...plain(`pinged${n}`, addr, data.pinged, 'who may ping the Pod'), kind: 'interval' },
    {
      name: `tried${n}`,
      type: `mark . ${addr} . ${addr} . inet_proto . inet_service`,
      kind: 'dynamic',
      properties: `size ${recordSize}; flags dynamic,timeout; timeout ${recordSeconds / 3600}h;`,
      elements: [],
      comment: 'who was denied what, how often: caller and answerer, the address and port that were called',
    },
  ];
}

function plain(name: string, type: string, elements: readonly string[], comment: string): NamedSet {
  return { name, type, kind: 'set', elements, comment };
}
