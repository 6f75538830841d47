import { markOf, type AllowedElements, type IsolateFamily, type IsolateModel } from './isolate-model.ts';
import { usedSet } from './isolate-observe.ts';
import { viaSets } from './isolate-via.ts';
import type { NamedSet } from './nft.ts';
import { recordProperties } from './redirect-sets.ts';

export function isolateSets(model: IsolateModel): readonly NamedSet[] {
  return [
    plain('self', 'mark', model.self, 'a container that calls itself'),
    plain(
      'flows',
      'mark . inet_proto . inet_service',
      model.flows,
      'caller and answerer: who may call whom at which port',
    ),
    ...(model.isObserved ? [plain('open', 'mark', model.open, 'who calls whom as in one Pod: they are observed')] : []),
    calls('calls', model.calls, 'UDP is delivered before anybody answers: ports of flows, and own declared ones'),
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
    plain(
      'audit_flows',
      'mark . inet_proto . inet_service',
      model.auditFlows,
      'flows that policies that audit would refuse',
    ),
    calls('audit_calls', model.auditCalls, 'the same of UDP'),
    ...viaSets(model.via, markOf),
    ...familySets(model.ipv4, '4', 'ipv4_addr'),
    ...familySets(model.ipv6, '6', 'ipv6_addr'),
    ...(model.isObserved ? [usedSet('4', 'ipv4_addr'), usedSet('6', 'ipv6_addr')] : []),
  ];
}

function familySets(data: IsolateFamily, n: string, addr: string): readonly NamedSet[] {
  const allowed = (name: string, { some, all }: AllowedElements, comment: string): readonly NamedSet[] => [
    { ...plain(`${name}${n}`, `mark . ${addr} . inet_proto . inet_service`, some, comment), kind: 'ranges' },
    { ...plain(`${name}_all${n}`, `mark . ${addr}`, all, 'the same, whatever the protocol'), kind: 'ranges' },
  ];
  const records = (name: string, comment: string): NamedSet => ({
    name: `${name}${n}`,
    type: `mark . ${addr} . ${addr} . inet_proto . inet_service`,
    kind: 'dynamic',
    properties: recordProperties,
    elements: [],
    comment,
  });
  return [
    plain(`node${n}`, addr, data.nodes, "where the kubelet's probes come from"),
    ...allowed('egress', data.egress, 'what a container may call beyond the Pod'),
    ...allowed('ingress', data.ingress, 'who may call a container from beyond the Pod'),
    ...allowed('audit_egress', data.auditEgress, 'what else it calls is recorded'),
    ...allowed('audit_ingress', data.auditIngress, 'who else calls it is recorded'),
    { ...plain(`pinged${n}`, addr, data.pinged, 'who may ping the Pod'), kind: 'interval' },
    records('tried', 'who was denied what, how often: caller and answerer, the address and port that were called'),
    records('audited', 'what passed and would not if the policies that audit enforced'),
  ];
}

function calls(name: string, elements: readonly string[], comment: string): NamedSet {
  return { ...plain(name, 'mark . inet_service', elements, comment), kind: 'ranges' };
}

function plain(name: string, type: string, elements: readonly string[], comment: string): NamedSet {
  return { name, type, kind: 'set', elements, comment };
}
