// Of pieces and their addresses.

import { blockErrors } from '../../controller/addresses/parse-block.ts';
import { addressesAt, withPrefix } from '../../controller/addresses/pool.ts';
import { isRecord, parseJson } from '../../controller/api/json.ts';
import { ownAnnotations } from '../../controller/api/names.ts';
import type { Pod } from '../../controller/kube/resources.ts';
import { nameOf, podViolation, type Attachment, type Piece, type View, type Violation } from './view.ts';

/** A gated primary has no addresses yet; whatever else is a piece has them from birth. */
export function claimedAddresses(view: View, piece: Piece): readonly Violation[] {
  const report = (message: string) => [podViolation('PieceClaimed', piece, message)];
  if (piece.role === 'primary' && piece.gated) return [];
  const found = view.claims.get(piece.split)?.find(({ claim }) => Object.hasOwn(claim.offsets, piece.container));
  const offset = found?.claim.offsets[piece.container];
  if (found === undefined || offset === undefined) return report(`no claim holds addresses for ${piece.container}.`);
  const pool = view.pools.get(found.block.spec.network);
  if (pool === undefined)
    return report(`its addresses are of SplitNetwork ${found.block.spec.network}, which is gone.`);
  const wanted = addressesAt(pool, found.block.spec.index, offset);
  const cidrs = withPrefix(pool, wanted);
  const differences = [
    ...compare('the networks annotation', piece.networks, cidrs, wanted.mac),
    ...(piece.status.length === 0 ? [] : compare('network-status', piece.status, cidrs.map(withoutPrefix), wanted.mac)),
  ];
  return differences.flatMap(report);
}

function compare(where: string, actual: readonly Attachment[], ips: readonly string[], mac: string): readonly string[] {
  const [only] = actual;
  if (only === undefined || actual.length > 1) return [`${where} names ${actual.length} peer networks.`];
  const wrong = [];
  if (!sameItems(only.ips, ips)) wrong.push(`${where} has ${only.ips.join(', ')}, the claim ${ips.join(', ')}.`);
  if (only.mac.toLowerCase() !== mac) wrong.push(`${where} has MAC ${only.mac}, the claim ${mac}.`);
  return wrong;
}

/** By what the pieces carry, not by the claims: this must find a claim that was given twice as well. */
export function addressesOnce(view: View): readonly Violation[] {
  const carried = view.pieces
    .filter((piece) => !piece.gated)
    .flatMap((piece) => {
      const all = [...piece.networks, ...piece.status];
      const own = new Set(all.flatMap(({ ips, mac }) => [...ips.map(withoutPrefix), mac.toLowerCase()]));
      return [...own].filter((address) => address !== '').map((address) => ({ address, piece }));
    });
  return [...Map.groupBy(carried, ({ address }) => address)]
    .filter(([, holders]) => holders.length > 1)
    .flatMap(([address, holders]) =>
      holders.map(({ piece }) => {
        const others = holders.filter((other) => other.piece !== piece).map((other) => nameOf(other.piece));
        return podViolation('AddressOnce', piece, `${address} is also held by ${others.join(', ')}.`);
      }),
    );
}

export function claimsOwned(view: View): readonly Violation[] {
  return [...view.claims].flatMap(([split, claims]) => {
    const objects = claims.map(({ block }) => `AddressBlock ${block.metadata.name}`);
    const pod = claims[0]?.claim.pod;
    const primary = view.primaries.get(split);
    const object = objects.join(', ');
    if (primary === undefined || primary.uid !== pod?.uid) {
      return [{ check: 'ClaimOwned' as const, object, message: `Pod ${pod?.name} (${pod?.uid}) is gone: a leak.` }];
    }
    if (claims.length === 1) return [];
    return [{ check: 'ClaimOwned' as const, object, message: `${nameOf(primary)} has ${claims.length} claims.` }];
  });
}

export function blocksSound(view: View): readonly Violation[] {
  return view.blocks.flatMap((block) => {
    const object = `AddressBlock ${block.metadata.name}`;
    const { namespace, nad } = block.spec.workload;
    const pool = view.pools.get(block.spec.network);
    const unsound: readonly Violation[] =
      pool === undefined
        ? [{ check: 'BlockSound', object, message: `SplitNetwork ${block.spec.network} is gone.` }]
        : blockErrors(block, pool).map(({ path, message }) => ({
            check: 'BlockSound',
            object,
            message: `${path}: ${message}`,
          }));
    const key = nad.slice(nad.lastIndexOf('-') + 1);
    const used = block.spec.claims.length > 0 && view.workloads.has(`${namespace}/${key}`);
    const unused: readonly Violation[] = used
      ? []
      : [{ check: 'BlockUsed', object, message: `the workload of NAD ${namespace}/${nad} has no split Pod in it.` }];
    return [...unsound, ...unused];
  });
}

/** While the Pod waits, ends or has ended, its pieces come and go. */
export function piecesComplete(view: View, primary: Piece): readonly Violation[] {
  if (primary.gated || primary.ending || primary.ended) return [];
  const report = (message: string) => podViolation('PiecesComplete', primary, message);
  const expected = removedContainers(primary.pod);
  if (expected === undefined) return [report(`annotation ${ownAnnotations.removed} does not read.`)];
  const siblings = view.pieces.filter(
    (piece) => piece.role === 'sibling' && piece.split === primary.split && piece.namespace === primary.namespace,
  );
  const counts = expected.map((container) => ({
    container,
    count: siblings.filter((sibling) => sibling.container === container && !sibling.ending).length,
  }));
  const strangers = siblings.filter((sibling) => !expected.includes(sibling.container));
  const node = primary.pod.spec?.nodeName;
  const elsewhere = siblings.filter((sibling) => node !== undefined && sibling.pod.spec?.nodeName !== node);
  return [
    ...counts
      .filter(({ count }) => count !== 1)
      .map(({ container, count }) => report(`container ${container} has ${count} siblings.`)),
    ...strangers.map((sibling) => report(`${sibling.name} runs ${sibling.container}, which was not cut from the Pod.`)),
    ...elsewhere.map((sibling) =>
      report(`${sibling.name} is on node "${sibling.pod.spec?.nodeName ?? ''}", the primary on "${node ?? ''}".`),
    ),
  ];
}

export function siblingOwned(view: View, sibling: Piece): readonly Violation[] {
  const primary = view.primaries.get(sibling.split);
  const report = (message: string) => [podViolation('SiblingOwned', sibling, message)];
  if (primary === undefined || primary.namespace !== sibling.namespace) return report('its primary is gone.');
  const owners = sibling.pod.metadata.ownerReferences ?? [];
  if (!owners.some((owner) => owner.uid === primary.uid && owner.controller === true)) {
    return report(`${nameOf(primary)} does not own it.`);
  }
  return primary.ended && !sibling.ending && !sibling.ended ? report(`${nameOf(primary)} has ended.`) : [];
}

function removedContainers(pod: Pod): readonly string[] | undefined {
  const removed = parseJson(pod.metadata.annotations?.[ownAnnotations.removed]);
  if (!isRecord(removed)) return undefined;
  const lists: readonly unknown[] = [removed['containers'], removed['sidecars'] ?? []];
  if (!lists.every(Array.isArray)) return undefined;
  return lists.flat().map((container) => (isRecord(container) ? String(container['name']) : ''));
}

function withoutPrefix(cidr: string): string {
  return cidr.replace(/\/.*$/, '');
}

function sameItems(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.toSorted().join(' ') === other.toSorted().join(' ');
}
