/**
 * Why a Pod is not split. A refusal is what the user reads at admission, in an Event, a condition or the CLI: `code` is
 * stable (metrics and scripts use it), `path` is the field as kubectl's errors name fields, `message` says what was read,
 * `action` what to do.
 */
export interface Refusal {
  readonly code: RefusalCode;
  readonly path: string;
  readonly message: string;
  readonly action: string;
}

/** One sentence for each code: the reference table of docs/refusals.md is made from it. */
export const refusalCodes = {
  UnknownMode: 'podsplit.io/mode has a value that podsplit does not know.',
  UnknownInstall: 'podsplit.io/install has a value that podsplit does not know.',
  UnknownGuard: 'podsplit.io/guards names a guard that podsplit does not have.',
  InvalidToken: 'podsplit.io/token does not parse.',
  InvalidNamespaceLabel: 'A label under podsplit.io/ of the namespace has a value that podsplit does not know.',
  UnknownAnnotation: 'An annotation under podsplit.io/ is not one that users set.',
  UnknownContainer: 'An annotation names a container that the Pod does not have.',
  InvalidFlow: 'podsplit.io/flows has an entry that does not parse, or a port or protocol outside what is allowed.',
  InvalidEgressVia: 'podsplit.io/egress-via has an entry that does not parse, or leads nowhere.',
  InvalidEgressDns: 'podsplit.io/egress-dns has a value that podsplit does not know, or nobody to apply to.',
  InvalidIngressVia: 'podsplit.io/ingress-via does not parse.',
  EgressViaByInit:
    'In install mode init a container that holds NET_RAW would send around the rules that keep it behind its proxy.',
  IngressViaNeedsSplit: 'podsplit.io/ingress-via is set, and mode isolate carries nobody to a proxy.',
  ObserveNeedsAgent:
    'podsplit.io/flows is observe, and the rules are loaded by an init container, which observes nothing.',
  InvalidNetwork: 'podsplit.io/network is not a valid name of a SplitNetwork.',
  FlowPortConflict:
    'One container would reach two peers at the same loopback port, or one at a port that another declares.',
  ForgedAnnotation: 'An annotation that only podsplit writes is there, and does not read as podsplit writes it.',
  ReservedLabel: 'A label under podsplit.io/ is set by a user.',
  ReservedName:
    'A container or volume has a name that podsplit uses, or Kubernetes for the token, or names its volume driver.',
  OwnNetworks: 'The Pod joins Multus networks of its own.',
  HostNamespace: 'The Pod shares a namespace of the node.',
  SharedProcessNamespace: 'The containers share one process namespace.',
  WindowsPod: 'Windows Pods have no network namespace that podsplit could wire.',
  PodLevelResources: 'Resources of the whole Pod cannot be divided among pieces.',
  SharedResourceClaim: 'A resource claim is used by more than one container.',
  PrivilegedContainer: 'A privileged container controls the node, and so any rule on it.',
  NetworkCapability: 'A container may program its network namespace, and so undo the rules.',
  NativeSidecar: 'A native sidecar (restartable init container) is to be the primary.',
  SharedEmptyDir: 'An emptyDir is mounted in different pieces, and cannot be given to all of them.',
  SharedEphemeralVolume: 'A volume that lives and dies with one Pod is mounted in different pieces.',
  SharedReadWriteOncePod: 'A ReadWriteOncePod claim is mounted by containers that would be in different pieces.',
  UnsupportedProtocol: 'A declared port has a protocol that the redirect does not carry.',
  PortDeclaredTwice: 'Two containers declare the same port.',
  PortNameTwice: 'Two containers give the same name to a port.',
  ProbeOfOtherContainer: "A container's probe or hook calls a port of another container.",
  ResourceFieldOfOtherContainer: "A container reads another container's resources by the downward API.",
  NodeNameSet: 'The Pod names its node, so it never waits for its network.',
  AnnotationsTooLarge: 'What is cut from the Pod does not fit into its annotations.',
  TooManyContainers: 'The Pod has more containers than an address block has addresses, or than isolation tells apart.',
  NeedsNodeAgent: 'In mode isolate only the agent of the node can load the rules.',
  InvalidAssignment: 'podsplit.io/assign-users has a value that podsplit does not know.',
  UserMissing: 'In mode isolate a container has no numeric runAsUser, by which its packets are known.',
  RootUser: 'In mode isolate a container runs as root, who can become any other user.',
  SharedUser: 'In mode isolate two containers that run at the same time have the same UID.',
  PrivilegeEscalation: 'In mode isolate a container may gain privileges, and with them another UID.',
  IdentityCapability: 'In mode isolate a container has a capability with which it could take another identity.',
  UserNamespace: 'In mode isolate the Pod has a user namespace of its own, in which UIDs are not those of the rules.',
  MissingResources: 'By the guard resources, a container states no requests or limits for memory or CPU.',
  HardeningConflict:
    'The guard hardening is asked for, and the Pod states what the restricted Pod Security Standard does not allow.',
  InvalidPod: 'The object is not a Pod that an API server would take.',
} as const;

export type RefusalCode = keyof typeof refusalCodes;

/** One line per refusal: what, where, what to do. */
export function formatRefusal(refusal: Refusal): string {
  return `${refusal.path}: ${refusal.message} ${refusal.action} (${refusal.code})`;
}
