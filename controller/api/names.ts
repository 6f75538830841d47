/** Every name that podsplit puts on other people's objects. Users see and select by them: they do not change. */

export const group = 'podsplit.io';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}`;

/** Annotations that users write, on a workload or on its Pod template. */
export const userAnnotations = {
  mode: 'podsplit.io/mode',
  primary: 'podsplit.io/primary',
  flows: 'podsplit.io/flows',
  network: 'podsplit.io/network',
  /** The webhook writes it too: on each Pod that it cuts stands how its rules are loaded. */
  install: 'podsplit.io/install',
  egressVia: 'podsplit.io/egress-via',
  egressDns: 'podsplit.io/egress-dns',
  ingressVia: 'podsplit.io/ingress-via',
  /** On a namespace it is a label. */
  guards: 'podsplit.io/guards',
  token: 'podsplit.io/token',
  /** In mode isolate: `true` gives a UID to each container that has none. */
  assignUsers: 'podsplit.io/assign-users',
} as const;

/** Annotations that only podsplit writes, on the Pods it made or cut. */
export const ownAnnotations = {
  /** On the primary, from admission on: what was cut from the Pod, as JSON (`Removed` in split/removed.ts). */
  removed: 'podsplit.io/removed',
  /** On each piece: what whoever loads its rules needs to know, as JSON (`Wiring` in rules/wiring.ts). */
  wiring: 'podsplit.io/wiring',
  /** On a sibling: the primary's Pod IPs, for containers that read `status.podIP` by the downward API. */
  podIP: 'podsplit.io/pod-ip',
  podIPs: 'podsplit.io/pod-ips',
  /** On a sibling: the labels and annotations of the primary as the downward API's volume would print them. */
  podLabels: 'podsplit.io/pod-labels',
  podAnnotations: 'podsplit.io/pod-annotations',
  /** Likewise the primary's name and UID, where a volume of the sibling prints them. */
  podName: 'podsplit.io/pod-name',
  podUID: 'podsplit.io/pod-uid',
  /** RFC 3339: when the kubelet was last given a reason to read the piece's wiring again. Nobody reads it but the controller. */
  nudged: 'podsplit.io/nudged',
  /** On a primary that waits for native sidecars: those that have started, as JSON (`Started` in split/started.ts). */
  started: 'podsplit.io/started',
  /** On the sibling of a native sidecar: its place among the Pod's init containers. The last to start is the first to end. */
  sidecar: 'podsplit.io/sidecar',
} as const;

/** On a policy that repeats a user's for siblings: the name of that, for people. */
export const mirrorOfAnnotation = 'podsplit.io/mirror-of';

/** On a workload's NAD: which Pods had to be moved because a piece did not fit, and how long the next are held back, as JSON. */
export const movesAnnotation = 'podsplit.io/moves';

export const ownLabels = {
  /** The split Pod that a piece belongs to: `splitId` of the primary's UID. On every piece, the primary too. */
  split: 'podsplit.io/split',
  /**
   * `primary`, `sibling`, `isolated`, or `whole` (opted in, but with nothing to split). The webhook puts it on at admission, so that the
   * controller watches the Pods that opted in and no others.
   */
  role: 'podsplit.io/role',
  /** The container that a piece runs. */
  container: 'podsplit.io/container',
  /** The workload's key: the hash that its NAD, block and policies are named with. */
  workload: 'podsplit.io/workload',
  /** On generated objects other than Pods. */
  managedBy: 'app.kubernetes.io/managed-by',
} as const;

/** The original label `app` is kept on a sibling as `label.podsplit.io/app`, `k8s.io/app` as `k8s.io.label.podsplit.io/app`. */
export const originalLabelDomain = 'label.podsplit.io';

/** Where a sibling keeps an annotation of the primary that its volumes print: see `originalAnnotationKey`. */
export const originalAnnotationDomain = 'annotation.podsplit.io';

export const schedulingGate = 'podsplit.io/network';
export const readinessGate = 'podsplit.io/pieces-ready';

export const initContainerName = 'podsplit-init';
export const wiringVolumeName = 'podsplit-wiring';
export const wiringMountPath = '/run/podsplit';
export const wiringFile = 'wiring.json';

/** Of containers that keep the ServiceAccount's token: see split/token.ts. */
export const tokenVolumeName = 'podsplit-token';

/** Init containers of the primary that stand where native sidecars stood: see `waitName`. */
export const waitNamePrefix = 'podsplit-wait-';
export const startedVolumeName = 'podsplit-started';
export const startedMountPath = '/run/podsplit/started';
export const startedFile = 'started.json';

/** The annotation of the NPWG multi-network specification v1.3, section 4.1. */
export const networksAnnotation = 'k8s.v1.cni.cncf.io/networks';
export const networkStatusAnnotation = 'k8s.v1.cni.cncf.io/network-status';
export const defaultContainerAnnotation = 'kubectl.kubernetes.io/default-container';

/** The CSI driver that gives one directory to the pieces of a Pod; an object of this name is in templates/. */
export const volumeDriver = 'volumes.podsplit.io';

/** The CNI plugin that calls the node agent: the file in the node's CNI bin folder. */
export const cniPluginType = 'podsplit';

export const peerInterface = 'net1';
/** Generated NetworkAttachmentDefinitions; the admission policies guard this prefix. */
export const nadNamePrefix = 'podsplit-';
/** Linux bridges: IFNAMSIZ leaves 15 characters, 12 of them the workload's key. */
export const bridgeNamePrefix = 'ps-';
export const defaultSplitNetwork = 'default';
export const systemNamespace = 'podsplit-system';
/** Of the agents: privileged, as nothing else of podsplit is. */
export const agentNamespace = 'podsplit-node';
/** The controller's Deployment, and the Lease by which one of its replicas leads. */
export const controllerName = 'podsplit';
/** The agents' DaemonSet. */
export const agentName = 'podsplit-agent';

/** Selects the Pods of one of the two. */
export function ownPods(component: 'controller' | 'agent'): string {
  return `app.kubernetes.io/name=podsplit,app.kubernetes.io/component=${component}`;
}

export const fieldManager = 'podsplit';
