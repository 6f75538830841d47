import pc from 'picocolors';
import { printable } from './table.ts';
import {
  inboundText,
  linkText,
  outboundText,
  stateOf,
  titleOf,
  type PieceTopology,
  type PodTopology,
} from './topology-report.ts';

interface Branch {
  readonly text: string;
  readonly branches: readonly Branch[];
}

/** A tree for each Pod. */
export function formatTopologyText(pods: readonly PodTopology[], colours: boolean): string {
  return pods.map((pod) => treeOf(pod, colours)).join('\n');
}

function treeOf(pod: PodTopology, colours: boolean): string {
  const { bold } = pc.createColors(colours);
  const branches: readonly Branch[] = [
    ...(pod.podIPs.length > 0 ? [leaf(`outside: clients call ${pod.podIPs.join(', ')}`)] : []),
    ...pod.pieces.map((piece) => pieceBranch(piece, pod, colours)),
    ...pod.notes.map((note) => leaf(note)),
  ];
  return [bold(printable(titleOf(pod))), ...linesOf(branches, ''), ''].join('\n');
}

function leaf(text: string): Branch {
  return { text: printable(text), branches: [] };
}

function pieceBranch(piece: PieceTopology, { links, mode }: PodTopology, colours: boolean): Branch {
  const { container, role, state, ready, pod, podIPs, addresses, in: inbound, out } = piece;
  const { bold, red } = pc.createColors(colours);
  const own = links.filter(({ from }) => from === container);
  const verdict = ready ? printable(state) : red(printable(stateOf(piece)));
  return {
    text: `${bold(printable(container))}   ${role}, ${verdict}`,
    branches: [
      ...(pod === '' || mode === 'isolate' ? [] : [leaf(`Pod ${pod}`)]),
      ...(podIPs.length === 0 || mode === 'isolate' ? [] : [leaf(`Pod IP ${podIPs.join(', ')}`)]),
      ...(addresses.length === 0 ? [] : [leaf(`peer network ${addresses.join(', ')}`)]),
      ...(inbound.ports.length === 0 ? [] : [leaf(`<-- outside   ${inboundText(inbound)}`)]),
      ...own.map((link) => leaf(`--> ${link.to}   ${linkText(link)}`)),
      leaf(`--> outside   ${outboundText(out)}`),
    ],
  };
}

function linesOf(branches: readonly Branch[], indent: string): readonly string[] {
  return branches.flatMap(({ text, branches: below }, index) => {
    const isLast = index === branches.length - 1;
    return [`${indent}${isLast ? '└── ' : '├── '}${text}`, ...linesOf(below, `${indent}${isLast ? '    ' : '│   '}`)];
  });
}
