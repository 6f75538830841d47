import { quote, refusal, unknownContainer, type Context, type Parsed } from './annotation-context.ts';
import { isDnsSubdomain } from './dns-names.ts';
import { parseEgressVia, type IntendedVia } from './egress-via.ts';
import type { Flow, Protocol } from './flow.ts';
import { parseGuards, parseToken, type Guard } from './guards.ts';
import { installModes, isInstallMode, type InstallMode } from './install.ts';
import { parseIngressVia, type IntendedIngressVia } from './ingress-via.ts';
import { isReservedKey } from './keys.ts';
import { defaultContainerAnnotation, defaultSplitNetwork, ownAnnotations, userAnnotations } from './names.ts';
import { didYouMean } from './nearest.ts';
import type { Refusal } from './refusal.ts';

/** What the user asks for, once and for all: nobody reads the annotations' text after this. */
export type ParsedIntent = NoIntent | Intent | InvalidIntent;

/** One Pod per container, or one Pod whose containers are told apart by their UIDs. */
export type Mode = 'split' | 'isolate';

export interface NoIntent {
  readonly kind: 'none';
}

export interface InvalidIntent {
  readonly kind: 'invalid';
  /** At least one; all that is wrong. */
  readonly refusals: readonly Refusal[];
}

export interface Intent {
  readonly kind: 'intent';
  readonly mode: Mode;
  readonly primary: { readonly container: string; readonly chosenBy: 'annotation' | 'default-container' | 'first' };
  readonly flows: IntendedFlows;
  /** Name of the SplitNetwork. */
  readonly network: string;
  /** Left out where the user has no say: the SplitNetwork or the controller decides. */
  readonly install?: InstallMode;
  /** Containers whose only way out is another; most Pods have none. */
  readonly via: readonly IntendedVia[];
  /** The container by which clients of the Pod come in; most Pods have none. */
  readonly ingressVia?: IntendedIngressVia;
  /** Those that hold. A namespace's label is not asked here: admission writes on the Pod what it says. */
  readonly guards: readonly Guard[];
  /** Containers, init containers too, that keep the ServiceAccount's token where it is guarded. */
  readonly token: readonly string[];
}

/**
 * `declared`: every port that a container declares is open to each of its peers. `listed` may be empty: `none`. `observe`:
 * the declared ones, and whatever else is used, which is recorded.
 */
export type IntendedFlows =
  | { readonly kind: 'declared' }
  | { readonly kind: 'observe' }
  | { readonly kind: 'listed'; readonly flows: readonly Flow[] };

/** On a namespace too: there it is the mode of Pods that say nothing. */
export const modeValues = ['split', 'isolate', 'none'] as const;

/**
 * @param annotations of the workload, of its Pod template or of the Pod
 * @param containers names of the Pod's containers in their order; in mode split init containers are left out
 * @param basePath of the annotations in the object that the user wrote, for example `spec.template.metadata.annotations`
 * @param initContainers names of those that are not among `containers`: they can have a token, and no flows
 */
export function parseIntent(
  annotations: Readonly<Record<string, string>>,
  containers: readonly string[],
  basePath: string,
  initContainers: readonly string[] = [],
): ParsedIntent {
  const values = new Map(Object.entries(annotations));
  const mode = values.get(userAnnotations.mode);
  if (mode === undefined || mode === 'none') return { kind: 'none' };

  const at: Context = { values, containers, path: (key) => `${basePath}[${key}]` };
  const primary = parsePrimary(at);
  const flows = parseFlows(at);
  const network = parseNetwork(at);
  const install = parseInstall(at);
  const via = parseEgressVia(at);
  const ingressVia = parseIngressVia(at);
  const guards = parseGuards(at);
  const token = parseToken(at, [...containers, ...initContainers]);
  const refusals = [
    ...checkMode(at, mode),
    ...checkKeys(at),
    ...[primary, flows, network, install, via, ingressVia, guards, token].flatMap((part) =>
      'refusals' in part ? part.refusals : [],
    ),
  ];
  if ('refusals' in primary || 'refusals' in flows || 'refusals' in network || 'refusals' in install) {
    return { kind: 'invalid', refusals };
  }
  if ('refusals' in via || 'refusals' in ingressVia || 'refusals' in guards || 'refusals' in token) {
    return { kind: 'invalid', refusals };
  }
  if (refusals.length > 0) return { kind: 'invalid', refusals };
  return {
    kind: 'intent',
    mode: mode === 'isolate' ? 'isolate' : 'split',
    primary: primary.value,
    flows: flows.value,
    network: network.value,
    ...(install.value === undefined ? {} : { install: install.value }),
    via: via.value,
    ...(ingressVia.value === undefined ? {} : { ingressVia: ingressVia.value }),
    guards: guards.value,
    token: token.value,
  };
}

function checkMode(at: Context, mode: string): Refusal[] {
  const path = at.path(userAnnotations.mode);
  switch (mode) {
    case 'split':
      return [];
    case 'isolate':
      return [];
    default:
      return [
        refusal(
          'UnknownMode',
          path,
          `Mode ${quote(mode)} is not known.${didYouMean(mode, modeValues)}`,
          'Set it to "split" or "isolate", or to "none" to opt out of what the namespace says, or remove it.',
        ),
      ];
  }
}

const known: readonly string[] = Object.values(userAnnotations);
const own: readonly string[] = Object.values(ownAnnotations);
// What was removed is read, and judged anew, when the Pod is restored: see split/removed.ts.
const usable: readonly string[] = [...known, ownAnnotations.removed];

/** What podsplit does not honour it refuses: a guard that is ignored in silence is worse than none. */
function checkKeys(at: Context): Refusal[] {
  const reserved = [...at.values.keys()].filter((key) => isReservedKey(key) && !usable.includes(key));
  return reserved.slice(0, maxRefusals).flatMap((key) => {
    const path = at.path(key);
    if (own.includes(key)) {
      return [refusal('ForgedAnnotation', path, `Only podsplit writes ${key}.`, 'Remove the annotation.')];
    }
    return [
      refusal(
        'UnknownAnnotation',
        path,
        `There is no annotation ${quote(key)}.${didYouMean(key, known)}`,
        `Remove it, or use one of ${known.join(', ')}.`,
      ),
    ];
  });
}

function parsePrimary(at: Context): Parsed<Intent['primary']> {
  const named = at.values.get(userAnnotations.primary);
  if (named !== undefined) {
    if (at.containers.includes(named)) return { value: { container: named, chosenBy: 'annotation' } };
    return { refusals: [unknownContainer(at, at.path(userAnnotations.primary), named)] };
  }
  // kubectl's annotation is a hint to people's tools, and nobody checks it: one that names nothing is no error.
  const hinted = at.values.get(defaultContainerAnnotation);
  if (hinted !== undefined && at.containers.includes(hinted)) {
    return { value: { container: hinted, chosenBy: 'default-container' } };
  }
  return { value: { container: at.containers[0] ?? '', chosenBy: 'first' } };
}

/** As in the SplitNetwork's schema: its name is part of its blocks' names and labels. */
const maxNetworkName = 40;

function parseNetwork(at: Context): Parsed<string> {
  const name = at.values.get(userAnnotations.network) ?? defaultSplitNetwork;
  if (isDnsSubdomain(name, maxNetworkName)) return { value: name };
  return {
    refusals: [
      refusal(
        'InvalidNetwork',
        at.path(userAnnotations.network),
        `${quote(name)} cannot name a SplitNetwork.`,
        `Use lower case letters, digits, "-" and ".", at most ${maxNetworkName} characters.`,
      ),
    ],
  };
}

function parseInstall(at: Context): Parsed<InstallMode | undefined> {
  const text = at.values.get(userAnnotations.install);
  if (text === undefined || isInstallMode(text)) return { value: text };
  return {
    refusals: [
      refusal(
        'UnknownInstall',
        at.path(userAnnotations.install),
        `There is no way ${quote(text)} to load the rules.`,
        `Set it to ${installModes.map(quote).join(' or ')}, or remove it.`,
      ),
    ],
  };
}

/** More than fit into the annotations of a Pod. */
export const maxFlows = 4000;

/** Of one annotation: nobody reads more, and whoever sends thousands shall not keep admission busy. */
const maxRefusals = 20;

const grammar = 'FROM->TO:PORT or FROM->TO:PORT/udp, separated by commas; or "none", or "observe"';
const observe = 'observe';

function parseFlows(at: Context): Parsed<IntendedFlows> {
  const text = at.values.get(userAnnotations.flows);
  if (text === undefined) return { value: { kind: 'declared' } };
  if (text.trim() === observe) return { value: { kind: 'observe' } };
  if (text.trim() === 'none') return { value: { kind: 'listed', flows: [] } };
  const entries = text.split(',');
  if (entries.length > maxFlows) return { refusals: [tooManyFlows(at, entries.length)] };
  const flows: Flow[] = [];
  const refusals: Refusal[] = [];
  for (const entry of entries) {
    const parsed = parseFlow(at, entry.trim());
    if ('value' in parsed) flows.push(parsed.value);
    else refusals.push(...parsed.refusals);
    if (refusals.length >= maxRefusals) break;
  }
  return refusals.length > 0 ? { refusals } : { value: { kind: 'listed', flows } };
}

function tooManyFlows(at: Context, count: number): Refusal {
  const path = at.path(userAnnotations.flows);
  return refusal('InvalidFlow', path, `There are ${count} flows.`, `List at most ${maxFlows}.`);
}

const flowPattern = /^(?<from>[^\s>:]+?)\s*->\s*(?<to>[^\s>:]+):(?<port>[^/]*)(?:\/(?<protocol>.*))?$/;

function parseFlow(at: Context, entry: string): Parsed<Flow> {
  const path = at.path(userAnnotations.flows);
  const invalid = (message: string, action: string): Refusal => refusal('InvalidFlow', path, message, action);
  const match = flowPattern.exec(entry)?.groups;
  const { from, to, port } = match ?? {};
  if (from === undefined || to === undefined || port === undefined) {
    return { refusals: [invalid(`${quote(entry)} is not a flow.`, `Write ${grammar}.`)] };
  }

  const portNumber = /^[1-9][0-9]{0,4}$/.test(port) ? Number(port) : 0;
  const protocol = parseProtocol(match?.['protocol'] ?? 'tcp');
  const refusals = [from, to]
    .filter((name) => !at.containers.includes(name))
    .map((name) => unknownContainer(at, path, name));
  if (from === to) {
    refusals.push(invalid(`${quote(entry)} leads from a container to itself.`, 'Remove it: that needs no flow.'));
  }
  if (portNumber < 1 || portNumber > 65535) {
    refusals.push(invalid(`${quote(entry)} has port ${quote(port)}.`, 'Use a number from 1 to 65535.'));
  }
  if (protocol === undefined) {
    refusals.push(invalid(`${quote(entry)} has an unknown protocol.`, 'Use tcp or udp.'));
  }
  if (refusals.length > 0 || protocol === undefined) return { refusals };
  return { value: { from, to, port: portNumber, protocol } };
}

function parseProtocol(text: string): Protocol | undefined {
  const lower = text.toLowerCase();
  return lower === 'tcp' || lower === 'udp' ? lower : undefined;
}
