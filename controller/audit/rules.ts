import type { Severity, Victim } from './finding.ts';

/** How one container gets at another: what lines of the topology mean, and what readers filter by. */
export const channels = [
  'network',
  'files',
  'memory',
  'processes',
  'identity',
  'node',
  'outside',
  'resources',
] as const;
export type Channel = (typeof channels)[number];

export interface Rule {
  readonly title: string;
  readonly channel: Channel;
  /** That its findings may have, by what the manifest says: see `about`. */
  readonly severities: readonly Severity[];
  /** For the reference: when it is found, and what the container could do. */
  readonly about: string;
  /** Ids of techniques.ts; a finding may name fewer. */
  readonly techniques: readonly string[];
  /** The finding's sentence. */
  says(actor: string, whom: string): string;
}

/** Ids are stable: scripts and code-scanning services know findings by them. */
export const rules = {
  DeclaredPort: {
    title: "Calls another container's declared ports",
    channel: 'network',
    severities: ['medium'],
    about:
      'Containers of one Pod share a network namespace, so each reaches every port that another declares, by 127.0.0.1, ::1 and the Pod IP. No NetworkPolicy is asked, and servers take who comes from loopback for a friend.',
    techniques: ['MS-TA9034', 'MS-TA9031', 'T1210', 'T1046'],
    says: (actor, whom) => `${actor} can call ${whom} by loopback and the Pod IP; no NetworkPolicy is asked.`,
  },
  AdminPort: {
    title: "Calls another container's administration port",
    channel: 'network',
    severities: ['high'],
    about:
      'A port that another container declares, or is probed at, is by its name or number one to administer, debug or profile it. Those seldom ask for a password on loopback.',
    techniques: ['MS-TA9034', 'T1210'],
    says: (actor, whom) => `${actor} can administer or debug ${whom}.`,
  },
  UndeclaredPort: {
    title: 'Calls whatever else another container listens on',
    channel: 'network',
    severities: ['medium'],
    about:
      'A container may listen on ports that it does not declare: administration servers, debuggers and databases that are bound to 127.0.0.1 because that is thought to be private. To the other containers it is not.',
    techniques: ['MS-TA9034', 'MS-TA9031', 'T1210', 'T1046'],
    says: (actor, whom) => `${actor} can scan and call what ${whom} listens on without declaring it, loopback too.`,
  },
  AbstractSocket: {
    title: "Connects to another container's abstract Unix sockets",
    channel: 'network',
    severities: ['low'],
    about: 'Abstract Unix sockets belong to the network namespace, and have no file whose mode could guard them.',
    techniques: ['T1559'],
    says: (actor, whom) => `${actor} can connect to abstract Unix sockets of ${whom}.`,
  },
  PortTakeover: {
    title: "Takes another container's port",
    channel: 'network',
    severities: ['medium'],
    about:
      'Ports of a Pod are there once. A container that binds the port of another before it does, at the start or while it restarts, serves its clients in its name.',
    techniques: ['T1557'],
    says: (actor, whom) => `${actor} can bind ports of ${whom} while it does not listen, and serve its clients.`,
  },
  PacketSocket: {
    title: "Sees and forges the other containers' packets",
    channel: 'network',
    severities: ['high', 'medium'],
    about:
      "NET_RAW opens packet sockets on the Pod's interfaces, lo among them. It is one of the capabilities that containerd gives every container (CRI-O does not) unless it is dropped, and works for root, and for others if a program of the image bears it: allowPrivilegeEscalation: false does not take it away, drop: [ALL] does.",
    techniques: ['T1040', 'T1557'],
    says: (actor, whom) => `${actor} can record and forge packets of ${whom}, on loopback and eth0.`,
  },
  ForgedFrames: {
    title: "Sends frames in others' names",
    channel: 'outside',
    severities: ['medium', 'low'],
    about:
      'With NET_RAW a container sends ARP, IPv6 neighbour discovery and IP packets with any source by eth0, as far as the CNI does not check them.',
    techniques: ['MS-TA9036', 'T1557.002'],
    says: (actor, whom) => `${actor} can send ARP and IP packets in the name of ${whom}.`,
  },
  NetworkControl: {
    title: 'Controls the network namespace of all containers',
    channel: 'network',
    severities: ['high', 'medium'],
    about:
      'NET_ADMIN redirects the traffic of all containers of the Pod, takes addresses and links away, and rewrites firewall rules. Of an init container: what it writes stays when it has ended.',
    techniques: ['T1557', 'T1565.002'],
    says: (actor, whom) => `${actor} can redirect, change and cut the traffic of ${whom}.`,
  },
  SharedFiles: {
    title: 'Reads or changes files of another container',
    channel: 'files',
    severities: ['high', 'medium', 'low'],
    about:
      'Containers mount the same volume, and at least one of them may write. Whoever writes decides what the others read; Unix sockets in the volume are open to all. High where a name tells of secrets, or a privileged container reads; low of an init container, which acts by what it leaves.',
    techniques: ['T1080', 'T1005', 'T1552.001', 'MS-TA9027'],
    says: (actor, whom) => `${actor} shares files with ${whom}.`,
  },
  SharedSecret: {
    title: 'Holds the same Secret as another container',
    channel: 'identity',
    severities: ['medium'],
    about:
      'Several containers are given the same key of a Secret, by volume or environment: whoever is taken over has what the others use to be known by.',
    techniques: ['MS-TA9027', 'T1552.001'],
    says: (actor, whom) => `${actor} is given the same Secret as ${whom}.`,
  },
  SharedIpc: {
    title: 'Shares memory with the other containers',
    channel: 'memory',
    severities: ['low'],
    about:
      'Containers of one Pod share System V and POSIX IPC and /dev/shm: semaphores, message queues and shared memory are guarded by user and mode only.',
    techniques: ['T1559'],
    says: (actor, whom) => `${actor} can open shared memory, semaphores and queues of ${whom}.`,
  },
  SharedProcesses: {
    title: "Sees and handles the other containers' processes",
    channel: 'processes',
    severities: ['high', 'low'],
    about:
      'With shareProcessNamespace (or hostPID) containers see all processes and their command lines. Those of the same user they can trace, read the memory and environment of, and enter the files of by /proc; root ends any of them. Low where command lines are all that is seen.',
    techniques: ['T1057', 'T1055.008', 'T1003.007', 'T1489'],
    says: (actor, whom) => `${actor} gets at processes of ${whom}.`,
  },
  ServiceAccountToken: {
    title: "Acts as the Pod's ServiceAccount",
    channel: 'identity',
    severities: ['medium', 'low'],
    about:
      'The container has a token for the API server. All containers of a Pod that have one have the same identity, whichever of them it is meant for; what it may do is RBAC, which is not read here. Low for the ServiceAccount default, which has no rights unless somebody gave it some.',
    techniques: ['MS-TA9016', 'MS-TA9029', 'T1528', 'T1613'],
    says: (actor, whom) => `${actor} can call ${whom}.`,
  },
  Egress: {
    title: 'Talks to the outside',
    channel: 'outside',
    severities: ['medium', 'low'],
    about:
      "All containers of a Pod have its address, so a NetworkPolicy cannot let one out and not the others. By DNS alone a container tells whom it likes. A NetworkPolicy that restricts the Pod's egress makes the finding low, as what it opens, it opens for all.",
    techniques: ['MS-TA9034', 'T1048', 'T1071.004'],
    says: (actor, whom) => `${actor} can reach ${whom} with the Pod's address.`,
  },
  MetadataService: {
    title: "Asks the cloud's metadata service",
    channel: 'outside',
    severities: ['medium', 'low'],
    about:
      'On a cloud, 169.254.169.254 tells about the node, and hands out the credentials of its identity where nothing keeps Pods from it.',
    techniques: ['MS-TA9033', 'MS-TA9028', 'MS-TA9020', 'T1552.005'],
    says: (actor, whom) => `${actor} can ask for credentials of ${whom} at 169.254.169.254, on a cloud that has it.`,
  },
  Unlimited: {
    title: 'Uses up what others need',
    channel: 'resources',
    severities: ['medium', 'low'],
    about:
      'Without a limit of memory or CPU of its own, a container starves the others of its Pod and of its node, or computes for somebody else. Low if it is CPU alone.',
    techniques: ['MS-TA9040', 'MS-TA9039', 'T1499', 'T1496.001'],
    says: (actor, whom) => `${actor} can starve ${whom}: it has no limit.`,
  },
  Privileged: {
    title: 'Is privileged',
    channel: 'node',
    severities: ['critical', 'high'],
    about:
      'A privileged container has all capabilities and devices of the node, and with them the node and all that runs there.',
    techniques: ['MS-TA9018', 'T1611'],
    says: (actor, whom) => `${actor} is privileged, and controls ${whom}.`,
  },
  NodeCapability: {
    title: 'Has a capability that leads to the node',
    channel: 'node',
    severities: ['critical', 'high'],
    about:
      'SYS_ADMIN, SYS_MODULE, SYS_RAWIO, DAC_READ_SEARCH and BPF are known ways from a container to its node, as is SYS_PTRACE where it sees the processes of the node.',
    techniques: ['T1611'],
    says: (actor, whom) => `${actor} has a capability that leads to ${whom}.`,
  },
  HostPath: {
    title: 'Mounts a path of the node',
    channel: 'node',
    severities: ['critical', 'high', 'medium'],
    about:
      'What is written there outlives the Pod and may be run by the node; what is read there may be of the node or of other Pods. The socket of a container runtime is the node, mounted read-only or not. One less where the container is not root.',
    techniques: ['MS-TA9013', 'T1611', 'T1552.001', 'MS-TA9021', 'T1070'],
    says: (actor, whom) => `${actor} mounts a path of ${whom}.`,
  },
  HostNetwork: {
    title: "Shares the node's network",
    channel: 'node',
    severities: ['high'],
    about:
      "The Pod's containers reach what listens on the node's loopback, the kubelet too, and speak with the node's address, so that NetworkPolicies are not about them.",
    techniques: ['MS-TA9030', 'MS-TA9031', 'T1613', 'T1046'],
    says: (actor, whom) => `${actor} is in the network namespace of ${whom}.`,
  },
  HostPID: {
    title: "Sees the node's processes",
    channel: 'node',
    severities: ['high'],
    about: 'The containers see all processes of the node; root signals them, and SYS_PTRACE enters them.',
    techniques: ['T1611', 'T1057'],
    says: (actor, whom) => `${actor} is in the process namespace of ${whom}.`,
  },
  HostIPC: {
    title: "Shares the node's IPC",
    channel: 'node',
    severities: ['medium'],
    about: 'The containers open shared memory, semaphores and queues of the node, and of all Pods that do so too.',
    techniques: ['T1559'],
    says: (actor, whom) => `${actor} is in the IPC namespace of ${whom}.`,
  },
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleId = keyof typeof rules;

export const ruleIds = Object.keys(rules) as readonly RuleId[];

const beyond: Readonly<Record<Exclude<Victim['kind'], 'container'>, string>> = {
  node: 'the node',
  pods: 'other Pods',
  api: 'the API server',
  outside: 'the outside',
};

export function nameOfVictim(victim: Victim): string {
  return victim.kind === 'container' ? victim.name : beyond[victim.kind];
}

/** `nginx (8080) and php (9000)`; those with one detail in common are told it once, at the end. */
export function listVictims(victims: readonly Victim[]): string {
  const details = new Set(victims.map(({ detail = '' }) => detail));
  const [detail = ''] = details;
  if (details.size === 1) return `${listOf(victims.map(nameOfVictim))}${detail === '' ? '' : ` (${detail})`}`;
  return listOf(
    victims.map((victim) => nameOfVictim(victim) + ((victim.detail ?? '') === '' ? '' : ` (${victim.detail ?? ''})`)),
  );
}

export function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`;
}
