import {
  budgetsUsed,
  mirrorsUsed,
  networksUsed,
  podSplitsOwned,
  policiesUsed,
  volumesOwned,
} from './invariants/generated.ts';
import {
  addressesOnce,
  blocksSound,
  claimedAddresses,
  claimsOwned,
  piecesComplete,
  siblingOwned,
} from './invariants/pieces.ts';
import { viewOf, type Snapshot, type Violation } from './invariants/view.ts';

export { checks, type Snapshot, type Violation } from './invariants/view.ts';

/** One split Pod, for the table. */
export interface Row {
  readonly pod: string;
  readonly container: string;
  readonly role: string;
  readonly node: string;
  readonly state: string;
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly block: string;
}

export function violations(snapshot: Snapshot): readonly Violation[] {
  const view = viewOf(snapshot);
  return [
    ...view.pieces.flatMap((piece) => claimedAddresses(view, piece)),
    ...addressesOnce(view),
    ...claimsOwned(view),
    ...blocksSound(view),
    ...view.pieces.filter((piece) => piece.role === 'primary').flatMap((primary) => piecesComplete(view, primary)),
    ...view.pieces.filter((piece) => piece.role === 'sibling').flatMap((sibling) => siblingOwned(view, sibling)),
    ...networksUsed(view),
    ...policiesUsed(view),
    ...budgetsUsed(view),
    ...mirrorsUsed(view),
    ...volumesOwned(view),
    ...podSplitsOwned(view),
  ];
}

export function rows(snapshot: Snapshot): readonly Row[] {
  const view = viewOf(snapshot);
  return view.pieces
    .map((piece) => ({
      pod: `${piece.namespace}/${piece.name}`,
      container: piece.container,
      role: piece.role,
      node: piece.pod.spec?.nodeName ?? '',
      state: piece.ending ? 'Ending' : piece.gated ? 'Gated' : (piece.pod.status?.phase ?? ''),
      addresses: piece.networks.flatMap((network) => network.ips),
      mac: piece.networks.map((network) => network.mac).join(' '),
      block: (view.claims.get(piece.split) ?? []).map(({ block }) => block.metadata.name).join(' '),
    }))
    .toSorted((one, other) => (one.pod < other.pod ? -1 : 1));
}
