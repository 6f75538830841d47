import type { FamilyModel } from './model.ts';
import type { NamedSet } from './nft.ts';

export function dataSets(data: FamilyModel, n: string, addr: string): readonly NamedSet[] {
  const endpoint = `${addr} . inet_proto . inet_service`;
  const service = 'inet_proto . inet_service';
  const set = (name: string, type: string, elements: readonly string[], comment: string): NamedSet => ({
    name: `${name}${n}`,
    type,
    kind: 'set',
    elements,
    comment,
  });
  const map = (name: string, elements: readonly string[], comment: string): NamedSet => ({
    ...set(name, `${service} : ${addr}`, elements, comment),
    kind: 'map',
  });
  const interval = (name: string, elements: readonly string[], comment: string): NamedSet => ({
    ...set(name, addr, elements, comment),
    kind: 'interval',
  });
  return [
    set('self', addr, data.self === undefined ? [] : [data.self], 'this piece on net1'),
    set('peer', `ether_addr . ${addr}`, data.peers, 'identity is MAC with IP: the controller assigned both'),
    set('same', `${addr} . ${addr}`, data.same, 'the sender of an ICMP error is the peer that it quotes'),
    set('out', endpoint, data.out, 'flows from this piece'),
    set('in', endpoint, data.in, 'flows to this piece'),
    set('audit_in', endpoint, data.auditIn, 'of those what policies that audit would refuse'),
    set('served', service, data.served, 'ports here that some peer may call'),
    map('redirect', data.redirect, 'loopback port -> the peer that listens there'),
    set('called', addr, data.called, 'addresses that mean "this Pod" to the program here'),
    set('own', addr, data.own, 'this piece on eth0'),
    set('primary_pod', addr, data.primaryPod, "the Pod's address, seen from a sibling"),
    interval('local', data.local, 'sources that become the net1 address on the wire'),
    set('pods', addr, data.pods, 'the other pieces on eth0'),
    set('node', addr, data.nodes, "where the kubelet's probes come from"),
    interval('pool', data.pool, "peer networks' addresses belong on net1 and nowhere else"),
    interval('never', data.never, 'what no client of the facade can have as its address'),
    set('facade', service, data.facadePorts, "siblings' ports that the Pod's address serves"),
    map('facade_to', data.facadeTo, 'port of the facade -> the sibling that serves it'),
    set('facade_out', endpoint, data.facadeOut, 'the same, as seen on net1'),
    set('facade_peer', `ether_addr . ${addr}`, data.facadePeers, 'siblings that serve the facade'),
  ];
}

/** How many kinds of attempts each of the two sets tells apart, and for how long after the last packet. */
export const recordSize = 256;
export const recordSeconds = 3600;

export const recordProperties = `size ${recordSize}; flags dynamic,timeout; timeout ${recordSeconds / 3600}h;`;

/** Bounded, so that whoever is denied cannot fill the kernel's memory with it. */
export function recordSets(n: string, addr: string): readonly NamedSet[] {
  return [
    {
      name: `tried${n}`,
      type: `ifname . ${addr} . ${addr} . inet_proto . inet_service`,
      kind: 'dynamic',
      properties: recordProperties,
      elements: [],
      comment: 'who was denied what, how often: a log rule prints nothing from a network namespace of its own',
    },
    {
      name: `conns${n}`,
      type: `${addr} . mark`,
      kind: 'dynamic',
      properties: 'size 65536; flags dynamic;',
      elements: [],
      comment: 'open connections per peer and bucket: bounds the conntrack table',
    },
  ];
}
