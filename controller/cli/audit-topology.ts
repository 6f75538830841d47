import { severities } from '../audit/finding.ts';
import type { Finding, Severity, Victim } from '../audit/finding.ts';
import type { WorkloadAudit } from '../audit/report.ts';
import { nameOfVictim, rules } from '../audit/rules.ts';
import { type Markup, markup } from './markup.ts';

export const views = ['now', 'isolate', 'split'] as const;
export type View = (typeof views)[number];

/** Whether a finding is still there, as the Pod runs or with a mode. What the mode refuses is. */
export function remains(finding: Finding, view: View): boolean {
  return view === 'now' ? finding.now !== 'closed' : finding[view].effect !== 'closed';
}

interface Place {
  readonly x: number;
  readonly y: number;
}

const width = 720;
const box = { width: 132, height: 40 } as const;
const beyondOrder: readonly Exclude<Victim['kind'], 'container'>[] = ['outside', 'pods', 'api', 'node'];

/** Containers in a ring, what is outside the Pod at the right; a line from each that could do something to whom it would. */
export function topology(row: WorkloadAudit): Markup {
  const actors = new Set(row.findings.map(({ actor }) => actor));
  const names = row.containers.filter(({ kind, name }) => kind !== 'init' || actors.has(name)).map(({ name }) => name);
  const beyond = beyondOrder.filter((kind) =>
    row.findings.some(({ victims }) => victims.some((victim) => victim.kind === kind)),
  );
  const radius = Math.max(100, 26 * names.length);
  const height = Math.max(2 * radius + box.height + 40, beyond.length * 70 + 20);
  const centre = { x: 40 + box.width / 2 + radius, y: height / 2 };
  const places = new Map<string, Place>([
    ...names.map((name, index): [string, Place] => {
      const angle = (2 * Math.PI * index) / names.length - Math.PI / 2;
      return [name, { x: centre.x + radius * Math.cos(angle), y: centre.y + radius * Math.sin(angle) }];
    }),
    ...beyond.map((kind, index): [string, Place] => [
      `beyond ${kind}`,
      { x: Math.max(width, centre.x + radius + 330) - box.width / 2 - 10, y: (height * (index + 0.5)) / beyond.length },
    ]),
  ]);
  const right = Math.max(width, centre.x + radius + 330);
  const id = `topology-${row.id}`;
  return markup`<svg class="topology" viewBox="0 0 ${right} ${Math.round(height)}" role="img" aria-labelledby="${id}"><title id="${id}">${`Who could do something to whom in ${row.kind} ${row.name}; the table of findings says the same in words.`}</title>${edges(row, places)}${names.map((name) => node(name, kindOf(row, name), places.get(name)))}${beyond.map((kind) => node(nameOfVictim({ kind }), '', places.get(`beyond ${kind}`)))}</svg>`;
}

function kindOf({ containers, split, mode }: WorkloadAudit, name: string): string {
  const kind = containers.find((container) => container.name === name)?.kind;
  if (kind === 'init') return 'init container';
  if (mode === 'split') return split.primary === name ? 'primary' : 'sibling';
  return kind === 'sidecar' ? 'native sidecar' : 'container';
}

function node(name: string, kind: string, place: Place | undefined): Markup {
  if (place === undefined) return markup``;
  const { x, y } = place;
  const shown = name.length > 18 ? `${name.slice(0, 17)}…` : name;
  return markup`<g><title>${name}</title><rect class="box${kind === '' ? ' beyond' : ''}" x="${round(x - box.width / 2)}" y="${round(y - box.height / 2)}" width="${box.width}" height="${box.height}" rx="6"/><text x="${round(x)}" y="${round(y + (kind === '' ? 4 : -2))}" text-anchor="middle">${shown}</text>${kind === '' ? '' : markup`<text class="small" x="${round(x)}" y="${round(y + 13)}" text-anchor="middle">${kind}</text>`}</g>`;
}

function edges({ findings }: WorkloadAudit, places: ReadonlyMap<string, Place>): readonly Markup[] {
  const pairs = Map.groupBy(
    findings.flatMap((finding) => finding.victims.map((victim) => ({ finding, victim }))),
    ({ finding, victim }) => JSON.stringify([finding.actor, keyOf(victim)]),
  );
  return [...pairs.values()].flatMap((group): readonly Markup[] => {
    const [first] = group;
    const from = places.get(first?.finding.actor ?? '');
    const to = first === undefined ? undefined : places.get(keyOf(first.victim));
    if (first === undefined || from === undefined || to === undefined) return [];
    const found = group.map(({ finding }) => finding);
    const [now, isolate, split] = views.map((view) => worst(found.filter((finding) => remains(finding, view))));
    const said = [...new Set(found.map(({ rule, severity }) => `${rules[rule].title} (${severity})`))].join('; ');
    return [
      markup`<path class="edge" data-now="${now ?? 'none'}" data-isolate="${isolate ?? 'none'}" data-split="${split ?? 'none'}" d="${curve(from, to)}"><title>${`${first.finding.actor} to ${nameOfVictim(first.victim)}: ${said}`}</title></path>`,
    ];
  });
}

function keyOf(victim: Victim): string {
  return victim.kind === 'container' ? victim.name : `beyond ${victim.kind}`;
}

function worst(findings: readonly Finding[]): Severity | undefined {
  return severities.find((each) => findings.some(({ severity }) => severity === each));
}

/** Bent to its left, so that there and back are two lines; it ends at the edge of the box. */
function curve(from: Place, to: Place): string {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const bend = { x: (from.x + to.x) / 2 + (dy / length) * 18, y: (from.y + to.y) / 2 - (dx / length) * 18 };
  const [start, end] = [edgeOf(from, bend), edgeOf(to, bend)];
  return `M${round(start.x)} ${round(start.y)}Q${round(bend.x)} ${round(bend.y)} ${round(end.x)} ${round(end.y)}`;
}

function edgeOf({ x, y }: Place, towards: Place): Place {
  const [dx, dy] = [towards.x - x, towards.y - y];
  const scale = Math.min(
    1,
    (box.width / 2 + 3) / Math.max(Math.abs(dx), 1e-6),
    (box.height / 2 + 3) / Math.max(Math.abs(dy), 1e-6),
  );
  return { x: x + dx * scale, y: y + dy * scale };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
