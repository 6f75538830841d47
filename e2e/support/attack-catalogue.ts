// The attacks of a malicious container as data: e2e/attacks, one file each. See docs/attacks.md, which is made of them.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { isRecord } from '../../controller/api/json.ts';
import { techniqueOf } from '../../controller/audit/techniques.ts';

/** What a malicious container may be after, in the order of the table. */
export const families = {
  loopback: "Services that others keep to loopback, and the Pod's other addresses",
  'admin-port': 'Administration ports',
  addresses: 'Other ways to write the same address',
  sniffing: 'Listening to the traffic of others',
  scan: 'Port scans',
  files: 'Files that containers share, on disk and in memory',
  token: 'ServiceAccount tokens',
  metadata: "The cloud's metadata service",
  lateral: 'Other Pods, Services and nodes',
  dns: 'Data hidden in DNS',
  exfiltration: 'The way out',
  spoofing: 'ARP, NDP and IP in the name of others',
  exhaustion: 'What all use up together',
  race: 'Being first',
  'unix-sockets': 'Unix sockets',
  ipc: 'System V and POSIX IPC',
  processes: 'Processes of others: signals, ptrace, /proc',
  forging: 'Forged labels, annotations and addresses',
  networks: 'Writing and joining networks (NADs)',
  ephemeral: 'Tampering by ephemeral containers',
} as const;
export type Family = keyof typeof families;

/** What a ContainerNetworkPolicy closes. All else is tried in a Pod that no policy selects, where nothing but the mode is in the way. */
const closedFamilies: readonly Family[] = ['metadata', 'lateral', 'dns', 'exfiltration'];

export const modes = ['plain', 'isolate', 'split'] as const;
export type Mode = (typeof modes)[number];

/** Containers, and where else something is looked at. */
export const places = ['attacker', 'app', 'helper', 'other', 'neighbour', 'outside', 'app-netns', 'neighbour-netns'];

export const outcomes = ['succeeds', 'fails'] as const;
export type Outcome = (typeof outcomes)[number];

export interface Expected {
  readonly outcome: Outcome;
  /** Why; in the plain Pod it says itself. */
  readonly reason?: string;
}

/** What scripts find in their environment, and other steps name: see attack-arena.ts. */
export const variables: readonly string[] = [
  ...['A', 'SEEN', 'SECRET', 'TOKEN', 'APP_COMMAND', 'IMAGE'],
  ...['POD_IP', 'POD_IP6', 'PEER_IP', 'PEER_IP6', 'LINK_LOCAL', 'ATTACKER_IP', 'SERVICE', 'NEXT_HOP_MAC'],
  ...['OTHER_IP', 'OTHER_IP6', 'OTHER_SERVICE', 'NODE_IP', 'OUTSIDE_IP', 'OUTSIDE_IP6', 'DNS'],
  ...['DEVICE', 'TALK_DEVICE', 'OWN_MAC', 'NEIGHBOUR_IP', 'NEIGHBOUR_IP6', 'NEIGHBOUR_MAC', 'NEIGHBOUR_PORT'],
  ...['CLAIMED_IP', 'CLAIMED_IP6', 'CLAIMED_MAC'],
  ...['NAMESPACE', 'POD', 'APP_POD', 'NAD', 'NAD_KIND', 'BRIDGE'],
  ...['IDENTITY_KEY', 'IDENTITY', 'WIRING_KEY', 'WIRING'],
];

const variable = /\$([A-Z][A-Z0-9_]*)/g;

/** @param escape for where the text is more than a text */
export function filled(
  text: string,
  values: Readonly<Record<string, string>>,
  escape = (value: string) => value,
): string {
  return text.replace(variable, (whole, name: string) => (name in values ? escape(values[name]!) : whole));
}

/** A script in some place. With `shows` the attack succeeds only if that is seen, within `within` seconds. */
export interface ScriptStep {
  readonly kind: 'script';
  readonly in: string;
  readonly run: string;
  /** A regular expression, with variables. */
  readonly shows?: string;
  readonly within: number;
  /** A precondition: without it nothing was tried. */
  readonly must: boolean;
  /** In these modes only. */
  readonly only?: readonly Mode[];
}

/** The Pod of the arena, made once more with one change: see attack-pods.ts. */
export const variants = ['unlimited', 'shared-processes', 'net-raw'] as const;
export type Variant = (typeof variants)[number];

/** A call of the API with the rights of the attacker's ServiceAccount; nothing is kept. The attack succeeds if it is accepted. */
export interface ApiStep {
  readonly kind: 'api';
  readonly kubectl: readonly string[];
  readonly input?: unknown;
  /** In place of `input`. */
  readonly victim?: Variant;
  /** What the refusal says: by any other nothing was shown, as by none where there is no pattern. */
  readonly refused: Readonly<Partial<Record<Mode, string>>>;
  /** It has to be refused, or what the other steps show has another reason. It does not decide. */
  readonly mustBeRefused: boolean;
  readonly only?: readonly Mode[];
}

export type Step = ScriptStep | ApiStep;

export interface Attack {
  readonly id: string;
  readonly name: string;
  readonly family: Family;
  readonly what: string;
  readonly techniques: readonly string[];
  readonly steps: readonly Step[];
  /** Where a ContainerNetworkPolicy selects the attacker's container; elsewhere none does. */
  readonly closed: readonly Mode[];
  /** Afterwards, whatever came of it. */
  readonly after: readonly ScriptStep[];
  readonly expected: Readonly<Record<Mode, Expected>>;
}

const folder = join(import.meta.dirname, '../attacks');

/** In the order of the families. */
export function catalogue(): readonly Attack[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
  const attacks = files.map((file) => parseAttack(basename(file, '.yaml'), readFileSync(join(folder, file), 'utf8')));
  const order = Object.keys(families);
  return attacks.toSorted(
    (one, other) => order.indexOf(one.family) - order.indexOf(other.family) || (one.id < other.id ? -1 : 1),
  );
}

/** @throws Error with the field's path */
export function parseAttack(id: string, text: string): Attack {
  const root = new Field(parse(text), id);
  root.knows(['name', 'family', 'what', 'techniques', 'policy', 'steps', 'after', 'expected']);
  const steps = root.at('steps').items().map(step);
  if (!steps.some(decides)) {
    root.at('steps').wrong('no step shows whether it succeeded: add "shows" or "kubectl"');
  }
  const family = root.at('family').oneOf(Object.keys(families) as Family[]);
  return {
    id,
    name: root.at('name').text(),
    family,
    what: root.at('what').text(),
    techniques: techniquesOf(root.at('techniques')),
    steps,
    closed: closedIn(root, family),
    after: root.has('after') ? root.at('after').items().map(script) : [],
    expected: expectations(root.at('expected')),
  };
}

/** `policy` has the modes in which it is the policy that closes the way, or is false. */
function closedIn(root: Field, family: Family): readonly Mode[] {
  if (!root.has('policy')) return closedFamilies.includes(family) ? modes : [];
  const field = root.at('policy');
  return field.value === false ? [] : field.items().map((mode) => mode.oneOf(modes));
}

/** Whether the attack has failed if this step does. */
export function decides(step: Step): boolean {
  return step.kind === 'api' ? !step.mustBeRefused : step.shows !== undefined && !step.must;
}

function step(field: Field): Step {
  if (!field.has('kubectl')) return script(field);
  field.knows(['kubectl', 'input', 'victim', 'refused', 'must', 'only']);
  if (field.has('must')) field.at('must').oneOf(['refused']);
  return {
    kind: 'api',
    kubectl: field.at('kubectl').items().map(known),
    ...(field.has('input') ? { input: field.at('input').value } : {}),
    ...(field.has('victim') ? { victim: field.at('victim').oneOf(variants) } : {}),
    refused: refusals(field.at('refused')),
    mustBeRefused: field.has('must'),
    ...onlyIn(field),
  };
}

/** One pattern, or one for each mode. The plain Pod is refused nothing. */
function refusals(field: Field): ApiStep['refused'] {
  if (typeof field.value === 'string') {
    const text = pattern(field);
    return { isolate: text, split: text };
  }
  const guarded = ['isolate', 'split'] as const;
  field.knows(guarded);
  return Object.fromEntries(guarded.filter((mode) => field.has(mode)).map((mode) => [mode, pattern(field.at(mode))]));
}

function onlyIn(field: Field): { readonly only?: readonly Mode[] } {
  if (!field.has('only')) return {};
  const items = field.at('only').items();
  return { only: items.map((mode) => mode.oneOf(modes)) };
}

function script(field: Field): ScriptStep {
  field.knows(['in', 'run', 'shows', 'within', 'must', 'only']);
  const within = field.has('within') ? field.at('within').value : 0;
  if (typeof within !== 'number' || within < 0 || within > 60) field.at('within').wrong('seconds, 60 at most');
  return {
    kind: 'script',
    in: field.at('in').oneOf(places),
    run: field.at('run').text(),
    ...(field.has('shows') ? { shows: pattern(field.at('shows')) } : {}),
    within: Number(within),
    must: field.has('must') && field.at('must').flag(),
    ...onlyIn(field),
  };
}

function pattern(field: Field): string {
  const text = known(field);
  try {
    new RegExp(text, 'm');
  } catch (error) {
    field.wrong(String(error));
  }
  return text;
}

/** A text whose variables the runner fills in; in scripts the shell does. */
function known(field: Field): string {
  const text = field.text();
  for (const [, name = ''] of text.matchAll(variable)) {
    if (!variables.includes(name)) field.wrong(`there is no variable $${name}; there are ${variables.join(', ')}`);
  }
  return text;
}

/** Of both matrices. */
function techniquesOf(field: Field): readonly string[] {
  const found = field.items().map(technique);
  const matrices = new Set(found.map((id) => techniqueOf(id).matrix));
  if (matrices.size < 2) field.wrong("one of Microsoft's and one of MITRE's are needed");
  return found;
}

function technique(field: Field): string {
  try {
    return techniqueOf(field.text()).id;
  } catch (error) {
    return field.wrong(String(error));
  }
}

function expectations(field: Field): Attack['expected'] {
  field.knows(modes);
  const of = (mode: Mode): Expected => {
    const each = field.at(mode);
    each.knows(['outcome', 'reason']);
    const outcome = each.at('outcome').oneOf(outcomes);
    if (mode === 'plain' && outcome !== 'succeeds') {
      each.wrong('in the plain Pod an attack succeeds, or the steps show nothing');
    }
    if (mode !== 'plain') return { outcome, reason: each.at('reason').text() };
    if (each.has('reason')) each.at('reason').wrong('say it in "what"');
    return { outcome };
  };
  return { plain: of('plain'), isolate: of('isolate'), split: of('split') };
}

/** A value of the file, and where it stands. */
class Field {
  readonly value: unknown;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    this.value = value;
    this.#path = path;
  }

  at(key: string): Field {
    return new Field(isRecord(this.value) ? this.value[key] : undefined, `${this.#path}.${key}`);
  }

  has(key: string): boolean {
    return isRecord(this.value) && Object.hasOwn(this.value, key);
  }

  knows(keys: readonly string[]): void {
    if (!isRecord(this.value)) this.wrong('a map is needed here');
    for (const key of Object.keys(this.value)) {
      if (!keys.includes(key)) this.at(key).wrong(`unknown; known are ${keys.join(', ')}`);
    }
  }

  text(): string {
    if (typeof this.value !== 'string' || this.value.trim() === '') return this.wrong('a text is needed here');
    return this.value.trim();
  }

  flag(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.wrong('true or false');
  }

  oneOf<T extends string>(values: readonly T[]): T {
    const found = values.find((value) => value === this.value);
    return found ?? this.wrong(`${JSON.stringify(this.value)} is none of ${values.join(', ')}`);
  }

  items(): readonly Field[] {
    if (!Array.isArray(this.value) || this.value.length === 0)
      return this.wrong('a list that is not empty is needed here');
    return this.value.map((item: unknown, index) => new Field(item, `${this.#path}[${index}]`));
  }

  wrong(why: string): never {
    throw new Error(`${this.#path}: ${why}`);
  }
}
