import { inboundText, linkText, outboundText, titleOf, type PodTopology } from './topology-report.ts';

/** A flowchart, as Markdown pages of GitHub, GitLab and others show it: mermaid.js.org/syntax/flowchart.html. */
export function formatTopologyMermaid(pods: readonly PodTopology[]): string {
  const lines = pods.flatMap((pod, index) => podLines(pod, `p${index + 1}`));
  return `${['flowchart LR', '  outside(["outside"])', ...lines].join('\n')}\n`;
}

function podLines(pod: PodTopology, id: string): readonly string[] {
  const idOf = (container: string) => `${id}c${pod.pieces.findIndex((piece) => piece.container === container) + 1}`;
  const shown = new Set(pod.pieces.map(({ container }) => container));
  return [
    `  subgraph ${id}["${quoted(titleOf(pod))}"]`,
    ...pod.pieces.map(({ container, role, state, podIPs, addresses }) => {
      const rows = [container, `${role}, ${state}`, podIPs.join(', '), addresses.join(', ')].filter(
        (row) => row !== '',
      );
      return `    ${idOf(container)}["${rows.map(quoted).join('<br/>')}"]`;
    }),
    '  end',
    ...pod.links
      .filter(({ from, to }) => shown.has(from) && shown.has(to))
      .map(
        (link) =>
          `  ${idOf(link.from)} ${link.way === undefined ? '-->' : '==>'}|"${quoted(linkText(link))}"| ${idOf(link.to)}`,
      ),
    ...pod.pieces.flatMap(({ container, in: inbound, out }) => [
      ...(inbound.ports.length === 0 ? [] : [`  outside -->|"${quoted(inboundText(inbound))}"| ${idOf(container)}`]),
      ...(out.kind === 'open' || out.kind === 'restricted'
        ? [`  ${idOf(container)} -.->|"${quoted(outboundText(out))}"| outside`]
        : []),
    ]),
    ...pod.notes.map((note) => `  %% ${oneLine(note)}`),
  ];
}

/** All that might be syntax, or HTML, by its number: mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters. */
function quoted(text: string): string {
  return oneLine(text).replace(/[^\p{L}\p{N} .,:/_-]/gu, (character) => `#${character.codePointAt(0) ?? 63};`);
}

/** A comment must not go on as something else: `{` begins a directive. */
function oneLine(text: string): string {
  return text.replace(/\p{C}/gu, '?').replace(/[{}]/g, '?');
}
