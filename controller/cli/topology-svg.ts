import { type Markup, markup, raw } from './markup.ts';
import {
  inboundText,
  inWords,
  linkText,
  outboundText,
  stateOf,
  titleOf,
  type Link,
  type PieceTopology,
  type PodTopology,
} from './topology-report.ts';

/** Colours by what the reader prefers; what is not ready is said in words too. */
export const drawingStyle = `
.topology { --ground: #fff; --box: #f6f7f9; --line: #57667a; --text: #1b1f27; --quiet: #4d5666; --flow: #1a7f37; --way: #0b57b0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  .topology { --ground: #14171c; --box: #1d2128; --line: #8b98a9; --text: #e8eaee; --quiet: #aab3c0; --flow: #3fb950; --way: #8ab8ff; --bad: #ff8a80; }
}
.topology text { fill: var(--text); font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }
.topology .name { font-weight: 600; font-size: 14px; }
.topology .small { fill: var(--quiet); font-size: 11.5px; }
.topology .bad { fill: var(--bad); }
.topology .ground { fill: var(--ground); }
.topology .box { fill: var(--box); stroke: var(--line); stroke-width: 1.3; }
.topology .primary { stroke-width: 2.6; }
.topology .unready { stroke: var(--bad); }
.topology .beyond { fill: none; stroke: var(--line); stroke-dasharray: 5 4; }
.topology .edge { fill: none; stroke: var(--flow); stroke-width: 1.8; }
.topology .way { stroke: var(--way); stroke-dasharray: 7 3; }
.topology .out { stroke: var(--line); }
.topology .head-flow { fill: var(--flow); } .topology .head-way { fill: var(--way); } .topology .head-out { fill: var(--line); }
`;

export interface Drawing {
  readonly body: Markup;
  readonly width: number;
  readonly height: number;
}

const margin = 20;
const outside = { width: 90 } as const;
/** Room for the words on the lines to and from outside. */
const gap = 210;
const box = { x: margin + outside.width + gap, width: 270 } as const;
const right = box.x + box.width;
/** Between the boxes and the first vertical part of a line between pieces: room for its words. */
const labelRoom = 170;
const laneWidth = 16;
const slot = 20;
const head = 34;

/** One file that a browser, a README or a slide shows as it is. */
export function formatTopologySvg(pods: readonly PodTopology[]): string {
  const drawings = pods.map(drawPod);
  const width = Math.max(...drawings.map((each) => each.width));
  let y = 0;
  const groups = drawings.map(({ body, height }) => {
    const group = markup`<g transform="translate(0 ${y})">${body}</g>\n`;
    y += height;
    return group;
  });
  const { markup: text } =
    markup`<svg xmlns="http://www.w3.org/2000/svg" class="topology" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img" aria-labelledby="title desc">
<title id="title">${titleOfAll(pods)}</title>
<desc id="desc">${pods.flatMap((pod) => [`${titleOf(pod)}.`, ...inWords(pod), ...pod.notes]).join(' ')}</desc>
<style>${raw(drawingStyle)}</style>
${arrowHeads}
<rect class="ground" width="${width}" height="${y}"/>
${groups}</svg>
`;
  return text;
}

export function titleOfAll(pods: readonly PodTopology[]): string {
  const [first] = pods;
  return first !== undefined && pods.length === 1
    ? `Who may reach whom in Pod ${first.namespace}/${first.pod}`
    : `Who may reach whom in ${pods.length} Pods`;
}

export const arrowHeads = markup`<defs>${['flow', 'way', 'out'].map((kind) => markup`<marker id="head-${kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="head-${kind}" d="M0 0L10 5L0 10z"/></marker>`)}</defs>`;

interface Row {
  readonly piece: PieceTopology;
  readonly y: number;
  readonly height: number;
  /** Lines that end or begin at its right side, in the order of their slots. */
  readonly ends: readonly string[];
}

/** What is outside at the left, the pieces in a column, and who calls whom in lines at the right that never cross a box. */
export function drawPod(pod: PodTopology): Drawing {
  const lines = pod.links.map((link, index) => ({ link, key: String(index) }));
  const rows = rowsOf(pod, lines);
  const bottom = rows.reduce((sum, { height }) => sum + height + 16, head + margin);
  const lanes = lanesOf(lines, rows);
  const width = Math.max(
    right + labelRoom + (lanes.count + 1) * laneWidth + margin,
    2 * margin + widest([titleOf(pod)], 8) + 8,
    2 * margin + widest(pod.notes, 6.5),
  );
  const height = bottom + pod.notes.length * 18 + margin;
  const isolated = pod.mode === 'isolate' && rows.length > 0;
  const frame = isolated
    ? markup`<rect class="beyond" x="${box.x - 10}" y="${head + margin - 10}" width="${box.width + 20}" height="${bottom - head - margin + 4}" rx="10"/>`
    : '';
  const body = markup`<text class="name" x="${margin}" y="${margin + 8}">${titleOf(pod)}</text>
<g><rect class="beyond" x="${margin}" y="${head + margin}" width="${outside.width}" height="${Math.max(40, bottom - head - margin - 16)}" rx="8"/><text x="${margin + outside.width / 2}" y="${(head + margin + bottom - 16) / 2 + 4}" text-anchor="middle">outside</text></g>
${frame}
${rows.map((row) => markup`${boxOf(row)}${outsideLines(row)}`)}
${lines.map(({ link, key }) => lineOf(link, key, rows, lanes.of.get(key)))}
${pod.notes.map((note, index) => markup`<text class="small" x="${margin}" y="${bottom + 8 + index * 18}">${note}</text>`)}`;
  return { body, width, height };
}

/** Pixels, about: a drawing has no way to measure. */
function widest(texts: readonly string[], ofCharacter: number): number {
  return Math.ceil(Math.max(0, ...texts.map(({ length }) => length)) * ofCharacter);
}

interface Line {
  readonly link: Link;
  readonly key: string;
}

function rowsOf({ pieces }: PodTopology, lines: readonly Line[]): readonly Row[] {
  let y = head + margin;
  return pieces.map((piece) => {
    const ends = lines.flatMap(({ link, key }) => [
      ...(link.to === piece.container ? [`to ${key}`] : []),
      ...(link.from === piece.container ? [`from ${key}`] : []),
    ]);
    const height = Math.max(26 + 16 * (1 + addressRows(piece).length), ends.length * slot + 12);
    const row = { piece, y, height, ends };
    y += height + 16;
    return row;
  });
}

function addressRows({ podIPs, addresses }: PieceTopology): readonly string[] {
  return [
    ...(podIPs.length > 0 ? [`Pod IP ${podIPs.join(', ')}`] : []),
    ...(addresses.length > 0 ? [`peer ${addresses.join(', ')}`] : []),
  ];
}

function boxOf({ piece, y, height }: Row): Markup {
  const { container, role, ready, pod } = piece;
  const classes = ['box', ...(role === 'primary' ? ['primary'] : []), ...(ready ? [] : ['unready'])].join(' ');
  return markup`<g><title>${pod === '' ? container : `${container} in Pod ${pod}`}</title><rect class="${classes}" x="${box.x}" y="${y}" width="${box.width}" height="${height}" rx="6"/><text class="name" x="${box.x + 12}" y="${y + 20}">${short(container, 32)}</text><text class="small${ready ? '' : ' bad'}" x="${box.x + 12}" y="${y + 36}">${short(`${role}, ${stateOf(piece)}`, 42)}</text>${addressRows(piece).map((text, index) => markup`<text class="small" x="${box.x + 12}" y="${y + 52 + index * 16}">${short(text, 42)}</text>`)}</g>
`;
}

function outsideLines({ piece, y, height }: Row): Markup {
  const { container, in: inbound, out } = piece;
  const [from, to] = [margin + outside.width, box.x];
  const middle = y + height / 2;
  const enters = inbound.ports.length > 0;
  const leaves = out.kind === 'open' || out.kind === 'restricted';
  const [above, below] = enters ? [middle - 12, middle + 14] : [middle, middle];
  const words = (text: string, at: number): Markup =>
    markup`<text class="small" x="${(from + to) / 2}" y="${at - 5}" text-anchor="middle">${short(text, 34)}</text>`;
  const entry = enters
    ? markup`<g><title>${`outside to ${container}: ${inboundText(inbound)}`}</title><path class="edge" marker-end="url(#head-flow)" d="M${from} ${above}H${to - 2}"/>${words(inboundText(inbound), above)}</g>\n`
    : '';
  const exit = leaves
    ? markup`<g><title>${`${container} to outside: ${outboundText(out)}`}</title><path class="edge out" marker-end="url(#head-out)" d="M${to} ${below}H${from + 2}"/>${words(outboundText(out), below)}</g>\n`
    : markup`<g>${words(out.kind === 'via' ? 'goes out by its proxy only' : `goes out: ${outboundText(out)}`, below + 5)}</g>\n`;
  return markup`${entry}${exit}`;
}

/** No two vertical parts that overlap share a lane; the shortest are innermost. */
function lanesOf(lines: readonly Line[], rows: readonly Row[]) {
  const spans = lines
    .flatMap(({ link, key }) => {
      const [from, to] = [endAt(rows, link.from, `from ${key}`), endAt(rows, link.to, `to ${key}`)];
      return from === undefined || to === undefined
        ? []
        : [{ key, top: Math.min(from, to), bottom: Math.max(from, to) }];
    })
    .toSorted((one, other) => one.bottom - one.top - (other.bottom - other.top));
  const taken: { top: number; bottom: number }[][] = [];
  const of = new Map<string, number>();
  for (const { key, top, bottom } of spans) {
    const free = taken.findIndex((lane) => lane.every((other) => other.bottom < top || other.top > bottom));
    const lane = free === -1 ? taken.length : free;
    (taken[lane] ??= []).push({ top, bottom });
    of.set(key, lane);
  }
  return { of, count: taken.length };
}

function endAt(rows: readonly Row[], container: string, end: string): number | undefined {
  const row = rows.find(({ piece }) => piece.container === container);
  const index = row?.ends.indexOf(end) ?? -1;
  if (row === undefined || index === -1) return undefined;
  return row.y + (row.height - row.ends.length * slot) / 2 + slot * (index + 0.5);
}

function lineOf(link: Link, key: string, rows: readonly Row[], lane: number | undefined): Markup {
  const [start, end] = [endAt(rows, link.from, `from ${key}`), endAt(rows, link.to, `to ${key}`)];
  if (start === undefined || end === undefined || lane === undefined) return markup``;
  const x = right + labelRoom + lane * laneWidth;
  const kind = link.way === undefined ? 'flow' : 'way';
  return markup`<g><title>${`${link.from} to ${link.to}: ${linkText(link)}`}</title><path class="edge${kind === 'way' ? ' way' : ''}" marker-end="url(#head-${kind})" d="M${right} ${start}H${x}V${end}H${right + 2}"/><text class="small" x="${right + 14}" y="${end - 4}">${short(labelOf(link), 27)}</text></g>
`;
}

function labelOf({ ports, way }: Link): string {
  return [
    ...ports,
    ...(way === undefined ? [] : [way.port === undefined ? 'only way out' : `all TCP to ${way.port}`]),
  ].join(', ');
}

function short(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
