// What ContainerNetworkPolicies mean, said as plainly as it can be: for one packet, is there a rule that lets it pass? It
// shares no code with the resolver, knows nothing of ranges and sets, and takes valid policies only.

import type {
  ContainerNetworkPolicy,
  EgressRule,
  IngressRule,
  PolicyPeer,
  PolicyPort,
} from '../../api/container-network-policy.ts';
import type { Directory, DirectoryPod, PolicySubject } from '../directory.ts';

export interface NaiveWorld {
  /** Of all namespaces. */
  readonly policies: readonly ContainerNetworkPolicy[];
  readonly directory: Directory;
}

export type NaiveProtocol = 'tcp' | 'udp' | 'sctp' | 'icmp';

/** May `container` of the Pod send to this address? ICMP has no port: any number does. */
export function naiveEgress(
  world: NaiveWorld,
  pod: PolicySubject,
  container: string,
  packet: { readonly to: string; readonly protocol: NaiveProtocol; readonly port: number },
): boolean {
  const about = selecting(world, pod, container, 'Egress');
  if (about.length === 0) return true;
  const reaches = (to: string, port: number, ownToo: boolean): boolean =>
    about.some((policy) =>
      (policy.spec.egress ?? []).some((rule) =>
        reachesBy(world, policy, rule, { ...packet, to, port, notFor: ownToo ? undefined : pod.uid }),
      ),
    );
  if (reaches(packet.to, packet.port, false)) return true;
  // Or it is a Service, and all that the node may make of it is reached.
  return world.directory.services.some((service) => {
    if (!service.clusterIPs.includes(packet.to)) return false;
    return service.ports.some(({ port, protocol, endpoints }) => {
      if (port !== packet.port || protocol !== packet.protocol) return false;
      const sameFamily = endpoints.filter(({ address }) => isSix(address) === isSix(packet.to));
      return sameFamily.length > 0 && sameFamily.every((each) => reaches(each.address, each.port, true));
    });
  });
}

/** May this address reach a port of `container`? */
export function naiveIngress(
  world: NaiveWorld,
  pod: PolicySubject,
  container: string,
  packet: { readonly from: string; readonly protocol: NaiveProtocol; readonly port: number },
): boolean {
  const about = selecting(world, pod, container, 'Ingress');
  if (about.length === 0) return true;
  const own = portsOf(pod, container);
  return about.some((policy) =>
    (policy.spec.ingress ?? []).some((rule) => {
      if (!somePort(rule.ports, packet.protocol, packet.port, own)) return false;
      if (isEverything(rule.from)) return true;
      return (rule.from ?? []).some((peer) => {
        if (peer.ipBlock !== undefined) return inBlock(peer.ipBlock, packet.from);
        return world.directory.pods.some(
          (other) =>
            other.uid !== pod.uid && isPeer(world, policy, peer, other) && callsFrom(peer, other, packet.from),
        );
      });
    }),
  );
}

/** May one container of the Pod call another by loopback? */
export function naiveFlow(
  world: NaiveWorld,
  pod: PolicySubject,
  call: { readonly from: string; readonly to: string; readonly protocol: 'tcp' | 'udp'; readonly port: number },
): boolean {
  if (!agreed(world, pod, call)) return false;
  const touched = (to: string): boolean =>
    selecting(world, pod, call.from, 'Egress').length + selecting(world, pod, to, 'Ingress').length > 0;
  const policiesRule = pod.containers.some(({ name }) => name !== call.from && touched(name));
  const others = pod.containers.filter(({ name }) => name !== call.from && name !== call.to);
  if (others.some(({ name }) => agreed(world, pod, { ...call, to: name }))) return false;
  const declaresItself = portsOf(pod, call.from).some((each) => each.port === call.port && each.protocol === call.protocol);
  return !(policiesRule && declaresItself);
}

/** Both ends agree, and somebody says that the target listens there. */
function agreed(
  world: NaiveWorld,
  pod: PolicySubject,
  { from, to, protocol, port }: { from: string; to: string; protocol: 'tcp' | 'udp'; port: number },
): boolean {
  const annotated = pod.flows.some(
    (flow) => flow.from === from && flow.to === to && flow.port === port && flow.protocol === protocol,
  );
  const [sending, taking] = [selecting(world, pod, from, 'Egress'), selecting(world, pod, to, 'Ingress')];
  if (sending.length === 0 && taking.length === 0) return annotated;
  const target = portsOf(pod, to);
  const meets = (policy: ContainerNetworkPolicy, peers: readonly PolicyPeer[] | undefined, other: string): boolean =>
    isEverything(peers) || (peers ?? []).some((peer) => meetsWithin(world, policy, peer, pod, other));
  const sends = sending.flatMap((policy) =>
    (policy.spec.egress ?? []).filter((rule) => meets(policy, rule.to, to)).map((rule) => ({ policy, rule })),
  );
  const takes = taking.flatMap((policy) =>
    (policy.spec.ingress ?? []).filter((rule) => meets(policy, rule.from, from)).map((rule) => ({ policy, rule })),
  );
  const says = ({ rule }: { rule: IngressRule | EgressRule }): boolean => somePort(rule.ports, protocol, port, target);
  if (sending.length > 0 && !sends.some(says)) return false;
  if (taking.length > 0 && !takes.some(says)) return false;
  const single = (rule: IngressRule | EgressRule): boolean =>
    (rule.ports ?? []).some(
      (each) =>
        each.port === port &&
        (each.endPort === undefined || each.endPort === port) &&
        (each.protocol ?? 'TCP').toLowerCase() === protocol,
    );
  return (
    annotated ||
    target.some((each) => each.port === port && each.protocol === protocol) ||
    takes.some(({ policy, rule }) => policy.spec.containers !== undefined && single(rule)) ||
    sends.some(
      ({ policy, rule }) =>
        single(rule) &&
        (rule.to ?? []).some((peer) => peer.containers !== undefined && meetsWithin(world, policy, peer, pod, to)),
    )
  );
}

function selecting(
  { policies }: NaiveWorld,
  pod: PolicySubject,
  container: string,
  type: 'Ingress' | 'Egress',
): readonly ContainerNetworkPolicy[] {
  return policies.filter(({ metadata, spec }) => {
    if (spec.action === 'Audit' || metadata.namespace !== pod.namespace) return false;
    if (!matches(spec.podSelector, pod.labels)) return false;
    if (spec.containers !== undefined && !spec.containers.includes(container)) return false;
    const given = spec.policyTypes ?? [];
    const types = given.length > 0 ? given : (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
    return types.includes(type);
  });
}

interface Packet {
  readonly to: string;
  readonly protocol: NaiveProtocol;
  readonly port: number;
  /** UID of the Pod that is no peer here: the sender. */
  readonly notFor: string | undefined;
}

function reachesBy(
  world: NaiveWorld,
  policy: ContainerNetworkPolicy,
  rule: EgressRule,
  { to, protocol, port, notFor }: Packet,
): boolean {
  const there = world.directory.pods.filter((each) => each.podIPs.includes(to) && each.uid !== notFor);
  const declared = there.flatMap(({ containers }) => containers.flatMap(({ ports }) => ports));
  if (isEverything(rule.to)) return somePort(rule.ports, protocol, port, declared);
  return (rule.to ?? []).some((peer) => {
    if (peer.ipBlock !== undefined) return inBlock(peer.ipBlock, to) && somePort(rule.ports, protocol, port, []);
    return there.some((other) => {
      if (!isPeer(world, policy, peer, other)) return false;
      const named = peer.containers;
      const ports = other.containers.flatMap((each) => (named?.includes(each.name) === false ? [] : each.ports));
      if (named === undefined) return somePort(rule.ports, protocol, port, ports);
      if (other.mode !== 'split') {
        const [only] = other.containers;
        return other.containers.length === 1 && named.includes(only?.name ?? '') && somePort(rule.ports, protocol, port, ports);
      }
      return (
        ports.some((each) => each.port === port && each.protocol === protocol) &&
        somePort(rule.ports, protocol, port, ports)
      );
    });
  });
}

function callsFrom(peer: PolicyPeer, other: DirectoryPod, address: string): boolean {
  const all = [...other.podIPs, ...other.containers.flatMap(({ podIPs }) => podIPs)];
  if (peer.containers === undefined) return all.includes(address);
  const named = other.containers.filter(({ name }) => peer.containers?.includes(name));
  if (other.mode === 'split') return named.some(({ podIPs }) => podIPs.includes(address));
  return other.containers.length === 1 && named.length === 1 && all.includes(address);
}

function meetsWithin(
  world: NaiveWorld,
  policy: ContainerNetworkPolicy,
  peer: PolicyPeer,
  pod: PolicySubject,
  other: string,
): boolean {
  if (peer.ipBlock !== undefined || !isPeer(world, policy, peer, pod)) return false;
  return peer.containers === undefined || peer.containers.includes(other);
}

function isPeer(
  { directory }: NaiveWorld,
  policy: ContainerNetworkPolicy,
  { podSelector, namespaceSelector }: PolicyPeer,
  pod: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): boolean {
  if (namespaceSelector === undefined) {
    if (pod.namespace !== policy.metadata.namespace) return false;
  } else {
    const labels = directory.namespaces.get(pod.namespace);
    if (labels === undefined || !matches(namespaceSelector, labels)) return false;
  }
  return podSelector === undefined || matches(podSelector, pod.labels);
}

function somePort(
  ports: readonly PolicyPort[] | undefined,
  protocol: NaiveProtocol,
  port: number,
  declared: readonly { readonly name?: string; readonly port: number; readonly protocol: string }[],
): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some((each) => {
    if ((each.protocol ?? 'TCP').toLowerCase() !== protocol) return false;
    if (each.port === undefined) return true;
    if (typeof each.port === 'number') return port >= each.port && port <= (each.endPort ?? each.port);
    return declared.some((one) => one.name === each.port && one.port === port && one.protocol === protocol);
  });
}

function portsOf(pod: PolicySubject, container: string): PolicySubject['containers'][number]['ports'] {
  return pod.containers.find(({ name }) => name === container)?.ports ?? [];
}

function isEverything(peers: readonly PolicyPeer[] | undefined): boolean {
  return peers === undefined || peers.length === 0;
}

function matches(
  { matchLabels = {}, matchExpressions = [] }: ContainerNetworkPolicy['spec']['podSelector'],
  labels: Readonly<Record<string, string>>,
): boolean {
  for (const [key, value] of Object.entries(matchLabels)) if (labels[key] !== value) return false;
  for (const { key, operator, values = [] } of matchExpressions) {
    const value = labels[key];
    const there = value !== undefined;
    const listed = there && values.includes(value);
    const holds = { In: listed, NotIn: !listed, Exists: there, DoesNotExist: !there }[operator];
    if (holds !== true) return false;
  }
  return true;
}

function inBlock({ cidr, except = [] }: NonNullable<PolicyPeer['ipBlock']>, address: string): boolean {
  return inCidr(cidr, address) && !except.some((each) => inCidr(each, address));
}

function inCidr(cidr: string, address: string): boolean {
  const [network = '', length = ''] = cidr.split('/');
  if (isSix(network) !== isSix(address)) return false;
  const [some, other] = [bitsOf(network), bitsOf(address)];
  return some.slice(0, Number(length)) === other.slice(0, Number(length));
}

function isSix(address: string): boolean {
  return address.includes(':');
}

/** The address in binary digits. */
function bitsOf(address: string): string {
  if (!isSix(address)) return address.split('.').map((part) => Number(part).toString(2).padStart(8, '0')).join('');
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const zeros = Array<string>(tail === undefined ? 0 : 8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0')).join('');
}
