import type { IPod } from 'kubernetes-models/v1/Pod';
import { type Intent, type Mode, parseIntent } from '../api/annotations.ts';
import type { IntendedVia } from '../api/egress-via.ts';
import { formatFlow, type Flow } from '../api/flow.ts';
import type { InstallMode } from '../api/install.ts';
import { userAnnotations } from '../api/names.ts';
import type { Refusal, RefusalCode } from '../api/refusal.ts';
import { isolate } from '../isolate/isolate.ts';
import { flowsBetween } from '../split/divide.ts';
import { servedPorts } from '../split/ingress-via.ts';
import type { Reason, SplitOptions } from '../split/plan.ts';
import { annotationsOf, declaredPortsOf, runningContainers, specOf } from '../split/pod.ts';
import { type Labels, withNamespaceDefaults } from '../split/namespace-defaults.ts';
import { split } from '../split/split.ts';
import { tokenKeepers } from '../split/token.ts';

/** What each mode would make of a Pod, were its workload annotated with it and nothing else were changed. */
export interface Modes {
  readonly isolate: Outcome;
  readonly split: SplitOutcome;
}

export interface Outcome {
  readonly refusals: readonly Refusal[];
  /** Of a Pod that is refused: those that its annotations ask for all the same, as far as they can be read. */
  readonly flows: readonly Flow[];
  readonly flowsBy: Intent['flows']['kind'];
  readonly via: readonly IntendedVia[];
  /** Containers that keep the ServiceAccount's token; absent where it is not guarded. */
  readonly tokenKeepers?: readonly string[];
  /** What changes, by the decision's own words. Empty where it is refused. */
  readonly changes: readonly Reason[];
}

export interface SplitOutcome extends Outcome {
  readonly primary: string;
  readonly siblings: readonly string[];
  readonly install: InstallMode;
  /** Siblings whose ports clients reach by way of the primary. */
  readonly served: readonly string[];
  /** TCP that comes to the Pod enters by this container. */
  readonly ingressVia?: string;
}

/**
 * @param pod whole
 * @param labels of its namespace
 */
export function modesOf(pod: IPod, options: SplitOptions, labels: Labels): Modes {
  const isolating = asked(pod, 'isolate', labels);
  const splitting = asked(pod, 'split', labels);
  return {
    isolate: { ...isolateOutcome(isolating.pod, options), ...refusedFor(isolating) },
    split: { ...splitOutcome(splitting.pod, options), ...refusedFor(splitting) },
  };
}

interface Asked {
  readonly pod: IPod;
  /** Of the namespace's labels. */
  readonly refusals: readonly Refusal[];
}

function asked(pod: IPod, mode: Mode, labels: Labels): Asked {
  const wanted = withMode(pod, mode);
  const given = withNamespaceDefaults(wanted, labels);
  return given.kind === 'pod' ? { pod: given.pod, refusals: [] } : { pod: wanted, refusals: given.refusals };
}

function refusedFor({ refusals }: Asked): Pick<Outcome, 'refusals' | 'changes'> | undefined {
  return refusals.length === 0 ? undefined : { refusals, changes: [] };
}

function isolateOutcome(pod: IPod, options: SplitOptions): Outcome {
  const decision = isolate(pod, options);
  const intended = intentOf(pod);
  switch (decision.kind) {
    case 'isolate': {
      const { flows, via, reasons } = decision;
      return { ...intended, refusals: [], flows, via, changes: reasons };
    }
    case 'refused':
      return { refusals: decision.refusals, ...intended, changes: [] };
    case 'left-alone':
      return { refusals: [], ...intended, changes: [] };
  }
}

function splitOutcome(pod: IPod, options: SplitOptions): SplitOutcome {
  const decision = split(pod, options);
  const intended = intentOf(pod);
  if (decision.kind === 'split') {
    const { flows, via, reasons, primary, siblings, install, ingressVia } = decision;
    return {
      ...keepersOf(intended),
      refusals: [],
      flows,
      flowsBy: intended.flowsBy,
      via,
      changes: reasons,
      primary: primary.name,
      siblings: siblings.map(({ name }) => name),
      install,
      served: namesOf(servedPorts(decision)),
      ...(ingressVia === undefined ? {} : { ingressVia: ingressVia.to }),
    };
  }
  const names = runningContainers(specOf(pod)).map(({ name }) => name);
  const primary = intended.primary ?? names[0] ?? '';
  const siblings = runningContainers(specOf(pod)).filter(({ name }) => name !== primary);
  return {
    ...keepersOf(intended),
    refusals: decision.kind === 'refused' ? decision.refusals : [],
    flows: intended.flows,
    flowsBy: intended.flowsBy,
    via: intended.via,
    changes: [],
    primary,
    siblings: siblings.map(({ name }) => name),
    install: annotationsOf(pod)[userAnnotations.install] === 'init' ? 'init' : options.install.otherwise,
    served: namesOf(siblings.flatMap(declaredPortsOf)),
  };
}

type Intended = Pick<Outcome, 'flows' | 'flowsBy' | 'via' | 'tokenKeepers'> & { readonly primary?: string };

function keepersOf({ tokenKeepers }: Intended): Pick<Outcome, 'tokenKeepers'> {
  return tokenKeepers === undefined ? {} : { tokenKeepers };
}

function intentOf(pod: IPod): Intended {
  const containers = runningContainers(specOf(pod));
  const names = containers.map(({ name }) => name);
  const inits = (specOf(pod).initContainers ?? []).map(({ name }) => name);
  const others = inits.filter((name) => !names.includes(name));
  const intent = parseIntent(annotationsOf(pod), names, 'metadata.annotations', others);
  const serving = containers.map((container) => ({ name: container.name, ports: declaredPortsOf(container) }));
  if (intent.kind !== 'intent')
    return { flows: flowsBetween(serving, { kind: 'declared' }), flowsBy: 'declared', via: [] };
  const keepers = tokenKeepers(intent);
  return {
    ...(keepers === undefined ? {} : { tokenKeepers: keepers }),
    flows: flowsBetween(serving, intent.flows),
    flowsBy: intent.flows.kind,
    via: intent.via,
    primary: intent.primary.container,
  };
}

function namesOf(ports: readonly { readonly container: string }[]): readonly string[] {
  return [...new Set(ports.map(({ container }) => container))];
}

function withMode(pod: IPod, mode: Mode): IPod {
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations: { ...annotationsOf(pod), [userAnnotations.mode]: mode } },
  };
}

/** Does the mode refuse the Pod for one of these reasons, at this field or below it? */
export function refuses({ refusals }: Outcome, codes: readonly RefusalCode[], path: string): boolean {
  return refusals.some((refusal) => codes.includes(refusal.code) && isWithin(refusal.path, path));
}

function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || (path.startsWith(ancestor) && /^[.[]/.test(path.slice(ancestor.length)));
}

export function viaOf({ via }: Outcome, container: string): IntendedVia | undefined {
  return via.find(({ from }) => from === container);
}

export function formatFlows({ flows }: Outcome): readonly string[] {
  return flows.map(formatFlow);
}
