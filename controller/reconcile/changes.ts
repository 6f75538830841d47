import type { AddressBlock, SplitNetwork } from '../api/resources.ts';
import { sameJson } from '../api/same-json.ts';
import type { Pod } from '../kube/resources.ts';
import { claimKeys, type SplitKey } from './world.ts';

/** Whom a change concerns. Without this, each write of one of a thousand Pods has all of them looked at. */

/** What a workload's Pods share does not depend on how they are. */
export function onlyStatusChanged(one: Pod, other: Pod): boolean {
  const [a, b] = [one.metadata, other.metadata];
  return a.uid === b.uid && a.deletionTimestamp === b.deletionTimestamp && rest(one) === rest(other);
}

/** An API server writes the same in the same order, and another order would only cost a look. */
function rest({ metadata, spec }: Pod): string {
  return JSON.stringify([metadata.labels, metadata.annotations, spec]);
}

/** A block holds the claims of many Pods: those that a write was not about need not be looked at. */
export function changedClaims(before: AddressBlock | undefined, block: AddressBlock): readonly SplitKey[] {
  const claims = (one: AddressBlock | undefined) =>
    new Map(one?.spec.claims.map((claim) => [claim.pod.uid, JSON.stringify(claim)]));
  const [earlier, now] = [claims(before), claims(block)];
  const same = (uid: string): boolean => earlier.get(uid) === now.get(uid);
  const all = [...block.spec.claims, ...(before?.spec.claims ?? [])].filter(({ pod }) => !same(pod.uid));
  return claimKeys({ ...block, spec: { ...block.spec, claims: all } });
}

export function onlyCountChanged(one: SplitNetwork, other: SplitNetwork): boolean {
  return (
    one.metadata.uid === other.metadata.uid &&
    sameJson([one.spec, one.status?.conditions], [other.spec, other.status?.conditions])
  );
}
