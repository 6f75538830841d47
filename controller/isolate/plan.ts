import type { Decision, Reason } from '../split/plan.ts';
import type { IsolatedContainer } from '../rules/isolate-wiring.ts';
import type { IntendedVia } from '../api/egress-via.ts';
import type { Flow } from '../api/flow.ts';

/** What `judge` says of a Pod, whatever its mode. */
export type Judgement = Decision | IsolatePlan;

/** The Pod stays as it is, and its containers are told apart by their UIDs. */
export interface IsolatePlan {
  readonly kind: 'isolate';
  /** Init containers too, unless one has the UID of a container. In the order of the Pod, init containers first. */
  readonly containers: readonly Omit<IsolatedContainer, 'podNetwork'>[];
  /** Sorted by from, to, protocol, port; no duplicates. */
  readonly flows: readonly Flow[];
  /** Containers whose only way out is another, sorted by name. */
  readonly via: readonly IntendedVia[];
  /** Nothing is enforced between the containers: the flows are what would be. */
  readonly observe?: true;
  /** UIDs that the webhook sets because the user asked for it. */
  readonly assigned: readonly AssignedUser[];
  /** Containers that keep the ServiceAccount's token. Absent where it is not guarded. */
  readonly tokenKeepers?: readonly string[];
  readonly reasons: readonly Reason[];
}

export interface AssignedUser {
  readonly container: string;
  readonly list: 'containers' | 'initContainers';
  readonly index: number;
  readonly uid: number;
}
