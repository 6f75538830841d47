import { ownAnnotations } from '../api/names.ts';
import type { SplitNetwork } from '../api/resources.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import type { Wiring } from '../rules/wiring.ts';
import { podIPAnnotations } from '../split/downward-api.ts';
import type { Plan } from '../split/plan.ts';
import { pickEntries } from '../split/pod.ts';
import { buildWirings, type PieceAddresses, type WiringInput } from '../split/wire.ts';
import { podIPs, readsPodIP, toldResolvers, type LivePod } from './piece-pod.ts';
import { policedWiring, type Policed } from './policy-book.ts';
import { released } from './start-order.ts';
import { poolRanges } from './wire.ts';

export type Annotations = Readonly<Record<string, string>>;

export interface NewsInput {
  readonly primary: LivePod;
  readonly siblings: readonly LivePod[];
  readonly plan: Plan;
  readonly network: SplitNetwork | undefined;
  /** By container, as the claim has them. */
  readonly addresses: Readonly<Record<string, PieceAddresses>>;
  readonly policies: Policed;
  /** Of the cluster's DNS; undefined where a piece needs them and nobody can tell. */
  readonly resolvers: readonly string[] | undefined;
}

/**
 * What each piece's annotations should say now, by container: its wiring, and on a sibling the primary's Pod IPs. Empty as
 * long as nobody can tell. Computed of the Pod as it is, so that flows that change on it are news too.
 */
export function newsOf(input: NewsInput): ReadonlyMap<string, Annotations> {
  const { primary, siblings, plan, network, addresses, policies, resolvers } = input;
  const pieces = [primary, ...siblings];
  if (network === undefined || pieces.some((piece) => addresses[piece.container] === undefined)) return new Map();
  if (pieces.length !== plan.siblings.length + 1) return new Map();
  // Nobody can tell yet: what a piece carries stays.
  if (policies.kind === 'pending') return new Map();
  const known = {
    plan,
    splitId: primary.split,
    pool: poolRanges(network),
    addresses,
    policies: policedWiring(plan, policies),
    // What is taken is taken now, if need be without names.
    resolvers: resolvers ?? toldResolvers(primary),
  };
  const wirings =
    plan.install === 'node' ? buildWirings({ ...known, release: 'go' }) : wiringsWithPodIPs(known, primary, siblings);
  const facade = podIPAnnotations(podIPs(primary));
  // With the wiring it costs no write of its own; without, those get it that have a use for it.
  const readers = siblings.filter((sibling) => plan.install === 'init' || readsPodIP(sibling));
  const wantsFacade = new Set(readers.map((sibling) => sibling.container));
  return new Map(
    Object.entries(wirings).map(([container, wiring]) => [
      container,
      { [ownAnnotations.wiring]: formatWiring(wiring), ...(wantsFacade.has(container) ? facade : {}) },
    ]),
  );
}

/** In mode `init`: nothing before every piece has its Pod IPs, and those that must wait are told to hold. */
function wiringsWithPodIPs(
  known: Omit<WiringInput, 'release' | 'podIPs'>,
  primary: LivePod,
  siblings: readonly LivePod[],
): Readonly<Record<string, Wiring>> {
  const pieces = [primary, ...siblings];
  if (pieces.some((piece) => podIPs(piece).length === 0)) return {};
  const podIPsOf = Object.fromEntries(pieces.map((piece) => [piece.container, podIPs(piece)]));
  const go = buildWirings({ ...known, podIPs: podIPsOf, release: 'go' });
  const hold = buildWirings({ ...known, podIPs: podIPsOf, release: 'hold' });
  const free = new Set(released(primary, siblings).map((piece) => piece.container));
  return { ...hold, ...pickEntries(go, (container) => free.has(container)) };
}

export function carries(piece: LivePod | undefined, wanted: Annotations): boolean {
  const has = piece?.raw.metadata?.annotations ?? {};
  return piece !== undefined && Object.entries(wanted).every(([key, value]) => has[key] === value);
}
