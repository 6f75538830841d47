import { rangeOfAddress, type AddressRange } from './address-range.ts';
import type { Directory, DirectoryContainer, DirectoryPod, PolicyDeclaredPort } from './directory.ts';
import { selects, type Labels } from './label-selector.ts';
import type { ParsedPolicy, ParsedPort, PodPeer } from './parse-policy.ts';

/** A Pod where it meets a peer of a rule. */
export interface Meeting {
  readonly pod: DirectoryPod;
  /** `whole`: the Pod's own addresses. Else the named containers of a split Pod; none where they cannot be told apart. */
  readonly part: 'whole' | 'not-apart' | readonly DirectoryContainer[];
}

const meetings = new WeakMap<Directory, WeakMap<PodPeer, readonly Meeting[]>>();

/** Pods that are or may become peers: those without addresses yet count for what is said of names. */
export function meetingsOf(peer: PodPeer, { namespace }: ParsedPolicy, directory: Directory): readonly Meeting[] {
  const ofDirectory = meetings.get(directory) ?? new WeakMap<PodPeer, readonly Meeting[]>();
  meetings.set(directory, ofDirectory);
  const known = ofDirectory.get(peer);
  if (known !== undefined) return known;
  const found = directory.pods
    .filter((pod) => isPeer(peer, namespace, pod, directory))
    .map((pod) => ({ pod, part: partOf(pod, peer.containers) }));
  ofDirectory.set(peer, found);
  return found;
}

/** One selector: Pods of the policy's namespace, or all of these namespaces. Both: and. Not yet asked: which containers. */
export function isPeer(
  { pods, namespaces }: PodPeer,
  policyNamespace: string,
  pod: { readonly namespace: string; readonly labels: Labels },
  directory: Directory,
): boolean {
  if (pods !== undefined && !selects(pods, pod.labels)) return false;
  if (namespaces === undefined) return pod.namespace === policyNamespace;
  const labels = directory.namespaces.get(pod.namespace);
  return labels !== undefined && selects(namespaces, labels);
}

function partOf({ mode, containers }: DirectoryPod, names: ReadonlySet<string> | undefined): Meeting['part'] {
  if (names === undefined) return 'whole';
  const named = containers.filter(({ name }) => names.has(name));
  if (mode === 'split' || named.length === 0) return named;
  return containers.length === 1 ? 'whole' : 'not-apart';
}

/** From which the Pod, or those containers of it, call. */
export function callersOf({ pod, part }: Meeting): readonly string[] {
  if (part === 'not-apart') return [];
  if (part === 'whole') return [...new Set([...pod.podIPs, ...pod.containers.flatMap(({ podIPs }) => podIPs)])];
  return [...new Set(part.flatMap(({ podIPs }) => podIPs))];
}

/** Of a declared port: whether an entry of a rule means it. */
export function means(port: ParsedPort, declared: PolicyDeclaredPort): boolean {
  if (port.protocol !== declared.protocol) return false;
  if (port.kind === 'name') return port.name === declared.name;
  return port.ports.first <= declared.port && declared.port <= port.ports.last;
}

const ranges = new Map<string, AddressRange | undefined>();
const mostRanges = 100_000;

/** Reading an address takes longer than all else that is done with it. */
export function addressRange(address: string): AddressRange | undefined {
  if (ranges.has(address)) return ranges.get(address);
  if (ranges.size >= mostRanges) ranges.clear();
  const range = rangeOfAddress(address);
  ranges.set(address, range);
  return range;
}
