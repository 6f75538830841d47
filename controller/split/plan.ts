import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodResourceClaim } from 'kubernetes-models/v1/PodResourceClaim';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { IntendedVia } from '../api/egress-via.ts';
import type { DeclaredPort, Flow } from '../api/flow.ts';
import type { IntendedIngressVia } from '../api/ingress-via.ts';
import type { InstallMode } from '../api/install.ts';
import type { Refusal } from '../api/refusal.ts';

/** What `split` says of a Pod. */
export type Decision = Plan | Refused | LeftAlone;

export interface Refused {
  readonly kind: 'refused';
  /** All that is wrong, never only the first. */
  readonly refusals: readonly Refusal[];
}

/** The Pod did not opt in, or has nothing to split: it runs as it is. */
export interface LeftAlone {
  readonly kind: 'left-alone';
  readonly code: 'NotOptedIn' | 'OptedOut' | 'SingleContainer' | 'OtherMode';
  readonly message: string;
}

export interface Plan {
  readonly kind: 'split';
  readonly primary: Piece;
  /** In the order of the Pod's containers, then its native sidecars in theirs; at least one. */
  readonly siblings: readonly Piece[];
  /** Sorted by from, to, protocol, port; no duplicates. */
  readonly flows: readonly Flow[];
  /** Pieces whose only way out is another, sorted by name. */
  readonly via: readonly IntendedVia[];
  /** The piece by which clients of the Pod come in. */
  readonly ingressVia?: IntendedIngressVia;
  /** Nothing is enforced between the pieces: the flows are what would be. */
  readonly observe?: true;
  /** Names of the emptyDirs that several pieces mount, in the original order: the node's volume driver gives them to each. */
  readonly sharedVolumes: readonly string[];
  /** Ports that siblings declare: the primary's Pod IP serves them. Ports of the primary need no help. */
  readonly facade: readonly DeclaredPort[];
  /** Name of the SplitNetwork that addresses come from. */
  readonly network: string;
  /** Names of the Pod's init containers as they start: what is not among the primary's is a native sidecar, and a piece. */
  readonly startOrder: readonly string[];
  /** Who loads the rules of its pieces. */
  readonly install: InstallMode;
  /** Containers that keep the ServiceAccount's token, in their pieces already. Absent where it is not guarded. */
  readonly tokenKeepers?: readonly string[];
  /** Names in the original Pod's order, so that `restore` can put the whole Pod together again. */
  readonly order: Order;
  /** Why each piece looks as it does: `--explain`, and the notes of the report. */
  readonly reasons: readonly Reason[];
}

export interface Order {
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly resourceClaims: readonly string[];
}

/** One container of the original Pod and what it takes along. All of it is the user's own JSON, field for field. */
export interface Piece {
  readonly name: string;
  readonly container: IContainer;
  /** The original Pod's volumes that this piece mounts, in the original order; the primary also has those nobody mounts. */
  readonly volumes: readonly IVolume[];
  /** Its share of `spec.resourceClaims`; the primary also has those nobody uses. */
  readonly resourceClaims: readonly IPodResourceClaim[];
  /** Annotations of the original Pod that are about this container alone: AppArmor profiles of before 1.30. */
  readonly annotations: Readonly<Record<string, string>>;
  /** For the primary: the Pod's own init containers that end, which run there. Siblings have none. */
  readonly initContainers: readonly IContainer[];
  readonly ports: readonly DeclaredPort[];
}

export interface Reason {
  /** Stable, like a refusal's. */
  readonly code: string;
  readonly piece: string;
  readonly path: string;
  readonly message: string;
}

export interface SplitOptions {
  /** The image of the init container, as the cluster pulls it. */
  readonly image: string;
  readonly imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  /** `maxContainers` of the default SplitNetwork's pool: no Pod can have more. */
  readonly maxContainers: number;
  /** For Pods that do not say themselves how their rules are loaded. */
  readonly install: InstallDefaults;
  /** Names of ReadWriteOncePod claims in the Pod's namespace, where the caller knows them. */
  readonly readWriteOncePodClaims?: ReadonlySet<string>;
}

export interface InstallDefaults {
  /** By name of the SplitNetwork: those whose spec says so. */
  readonly byNetwork: ReadonlyMap<string, InstallMode>;
  /** Where neither the Pod nor its SplitNetwork says. */
  readonly otherwise: InstallMode;
}
