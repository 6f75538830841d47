import { isDeepStrictEqual } from 'node:util';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodResourceClaim } from 'kubernetes-models/v1/PodResourceClaim';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { isDeeperThan, isRecord, withoutNulls } from '../api/json.ts';
import {
  initContainerName,
  ownAnnotations,
  ownLabels,
  readinessGate,
  schedulingGate,
  userAnnotations,
  wiringVolumeName,
} from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { appArmorContainer } from './app-armor.ts';
import type { Order, Plan } from './plan.ts';
import {
  annotationsOf,
  carriesInit,
  declaredPortsOf,
  labelsOf,
  mergeAll,
  pickEntries,
  specOf,
  without,
} from './pod.ts';
import { standsFor } from './shared-volumes.ts';
import {
  type Fault,
  containerFaults,
  maxDepth,
  maxFaults,
  resourceClaimFaults,
  tooDeep,
  volumeFaults,
} from './shape.ts';

/**
 * What admission took out of a Pod, kept in the annotation `podsplit.io/removed` until the controller makes siblings of
 * it. Anybody who may create Pods can write the annotation: it says nothing that a whole Pod could not say, and is judged
 * as one each time it is read.
 */
export interface Removed {
  readonly version: 1;
  readonly order: Order;
  readonly containers: readonly IContainer[];
  /** Those that the primary does not mount, and those in whose place it has another. */
  readonly volumes: readonly IVolume[];
  readonly resourceClaims: readonly IPodResourceClaim[];
  readonly annotations: Readonly<Record<string, string>>;
}

export type Restored =
  { readonly kind: 'whole'; readonly pod: IPod } | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] };

export function removedBy(plan: Plan): Removed {
  const kept = new Set(
    plan.primary.volumes.map((volume) => volume.name).filter((name) => !plan.sharedVolumes.includes(name)),
  );
  const volumes = plan.siblings.flatMap((piece) => piece.volumes.filter((volume) => !kept.has(volume.name)));
  const claims = new Set(plan.primary.resourceClaims.map((claim) => claim.name));
  const resourceClaims = plan.siblings.flatMap((piece) =>
    piece.resourceClaims.filter((claim) => !claims.has(claim.name)),
  );
  return {
    version: 1,
    order: plan.order,
    containers: plan.siblings.map((piece) => piece.container),
    volumes: uniqueByName(volumes),
    resourceClaims: uniqueByName(resourceClaims),
    annotations: mergeAll(plan.siblings.map((piece) => piece.annotations)),
  };
}

export function formatRemoved(removed: Removed): string {
  return JSON.stringify(removed);
}

/**
 * The Pod as it was before `cutPod`, from what is left of it and what was removed. A container that another webhook added
 * since is one more container of the whole Pod, the last. A Pod that was never cut is whole already.
 *
 * Expects a Pod that `shapeOf` has passed.
 */
export function restore(pod: IPod): Restored {
  const text = annotationsOf(pod)[ownAnnotations.removed];
  if (text === undefined) return { kind: 'whole', pod: withoutWholeLabel(pod) };
  const parsed = parseRemoved(text, specOf(pod).containers);
  if ('faults' in parsed) return { kind: 'refused', refusals: parsed.faults.map(forged) };
  const { removed } = parsed;

  const present = new Map((specOf(pod).volumes ?? []).map((volume) => [volume.name, volume]));
  const clash = removed.volumes.find((volume) => {
    const other = present.get(volume.name);
    return other !== undefined && !isDeepStrictEqual(other, volume) && !standsFor(other, volume);
  });
  if (clash !== undefined) return { kind: 'refused', refusals: [volumeTwice(clash.name)] };
  return { kind: 'whole', pod: putTogether(pod, removed) };
}

function putTogether(pod: IPod, removed: Removed): IPod {
  const spec = specOf(pod);
  const addedPorts = new Set(removed.containers.flatMap(declaredPortsOf).map(portKey));
  const original = new Set(removed.order.containers);
  const left = spec.containers.map((container) =>
    original.has(container.name) ? withoutPorts(container, addedPorts) : container,
  );
  // In whose place there was another: `restore` has looked which.
  const replaced = new Set(removed.volumes.map(({ name }) => name));
  const volumes = (spec.volumes ?? []).filter(({ name }) => name !== wiringVolumeName && !replaced.has(name));
  const lists = {
    initContainers: (spec.initContainers ?? []).filter((container) => container.name !== initContainerName),
    volumes: inOrder(uniqueByName([...volumes, ...removed.volumes]), removed.order.volumes),
    resourceClaims: inOrder(
      uniqueByName([...(spec.resourceClaims ?? []), ...removed.resourceClaims]),
      removed.order.resourceClaims,
    ),
    schedulingGates: (spec.schedulingGates ?? []).filter((gate) => gate.name !== schedulingGate),
    readinessGates: (spec.readinessGates ?? []).filter((gate) => gate.conditionType !== readinessGate),
  };
  const notEmpty = Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
  const cutLabels: readonly string[] = [ownLabels.role, ownLabels.container];
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: pickEntries(labelsOf(pod), (key) => !cutLabels.includes(key)),
      annotations: {
        ...pickEntries(annotationsOf(pod), (key) => key !== ownAnnotations.removed),
        ...removed.annotations,
        ...carriedInstall(pod),
      },
    },
    spec: {
      ...without(spec, 'initContainers', 'volumes', 'resourceClaims', 'schedulingGates', 'readinessGates'),
      containers: inOrder([...left, ...removed.containers], removed.order.containers),
      ...notEmpty,
    },
  };
}

/** Versions that had the init container only did not record how the rules are loaded: such a Pod stays what it is. */
function carriedInstall(pod: IPod): Readonly<Record<string, string>> {
  const recorded = Object.hasOwn(annotationsOf(pod), userAnnotations.install);
  return carriesInit(pod) && !recorded ? { [userAnnotations.install]: 'init' } : {};
}

/** Admission marks a Pod that it left whole, so that the controller hears of it: a later webhook may add to such a Pod. */
function withoutWholeLabel(pod: IPod): IPod {
  const labels = labelsOf(pod);
  if (labels[ownLabels.role] !== 'whole') return pod;
  return { ...pod, metadata: { ...pod.metadata, labels: pickEntries(labels, (key) => key !== ownLabels.role) } };
}

function portKey(port: { readonly port: number; readonly protocol: string; readonly name?: string }): string {
  return `${port.port}/${port.protocol}/${port.name ?? ''}`;
}

/** The primary's own ports: those that its siblings declare were added to it. None is in both, or it was not cut. */
function withoutPorts(container: IContainer, added: ReadonlySet<string>): IContainer {
  const ports = (container.ports ?? []).filter((port) =>
    declaredPortsOf({ ...container, ports: [port] }).every((declared) => !added.has(portKey(declared))),
  );
  return { ...without(container, 'ports'), ...(ports.length === 0 ? {} : { ports }) };
}

function uniqueByName<T extends { readonly name: string }>(items: readonly T[]): T[] {
  const first = new Map<string, T>();
  for (const item of items) if (!first.has(item.name)) first.set(item.name, item);
  return [...first.values()];
}

/** Those that are in `order` first, as they are there, then the others as they come. */
function inOrder<T extends { readonly name: string }>(items: readonly T[], order: readonly string[]): T[] {
  const rank = new Map(order.map((name, index) => [name, index]));
  return items.toSorted((a, b) => (rank.get(a.name) ?? order.length) - (rank.get(b.name) ?? order.length));
}

const annotationPath = `metadata.annotations[${ownAnnotations.removed}]`;

function forged(fault: Fault): Refusal {
  return {
    code: 'ForgedAnnotation',
    path: fault.path,
    message: `Does not read as podsplit writes it: ${fault.message.replace(/\.$/, '')}.`,
    action: 'Remove the annotation; podsplit writes it itself.',
  };
}

function volumeTwice(name: string): Refusal {
  return {
    code: 'InvalidPod',
    path: 'spec.volumes',
    message: `Volume ${JSON.stringify(name)} was added to the Pod, which has another of that name.`,
    action: 'Rename one of them.',
  };
}

type ParsedRemoved = { readonly removed: Removed } | { readonly faults: readonly Fault[] };

const fields: readonly string[] = ['version', 'order', 'containers', 'volumes', 'resourceClaims', 'annotations'];

/** Reads what `formatRemoved` wrote and nothing else. `present` are the containers left in the Pod. */
function parseRemoved(text: string, present: readonly IContainer[]): ParsedRemoved {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { faults: [{ path: annotationPath, message: error instanceof Error ? error.message : 'not JSON' }] };
  }
  if (isDeeperThan(maxDepth, value)) return { faults: [tooDeep(annotationPath)] };
  const removed = withoutNulls(value);
  if (!isRemoved(removed)) return { faults: fieldFaults(removed).slice(0, maxFaults) };
  const faults = nameFaults(removed, present);
  return faults.length === 0 ? { removed } : { faults };
}

function isRemoved(value: unknown): value is Removed {
  return fieldFaults(value).length === 0;
}

function fieldFaults(value: unknown): Fault[] {
  if (!isRecord(value)) return [{ path: annotationPath, message: 'must be an object' }];
  const at = (field: string): string => `${annotationPath}.${field}`;
  const unknown = Object.keys(value).filter((field) => !fields.includes(field));
  const order = isRecord(value['order']) ? value['order'] : {};
  return [
    ...unknown.map((field) => ({ path: at(field), message: 'unknown field' })),
    ...(value['version'] === 1 ? [] : [{ path: at('version'), message: 'must be 1' }]),
    ...namesFaults(order['containers'], at('order.containers')),
    ...namesFaults(order['volumes'], at('order.volumes')),
    ...namesFaults(order['resourceClaims'], at('order.resourceClaims')),
    ...listFaults(value['containers'], at('containers'), containerFaults),
    ...listFaults(value['volumes'], at('volumes'), volumeFaults),
    ...listFaults(value['resourceClaims'], at('resourceClaims'), resourceClaimFaults),
    ...(isRecord(value['annotations']) &&
    Object.values(value['annotations']).every((entry) => typeof entry === 'string')
      ? []
      : [{ path: at('annotations'), message: 'must be a map of strings' }]),
  ];
}

function listFaults(
  value: unknown,
  path: string,
  itemFaults: (item: unknown, path: string) => readonly Fault[],
): readonly Fault[] {
  if (!Array.isArray(value)) return [{ path, message: 'must be a list' }];
  const items: readonly unknown[] = value;
  const faults: Fault[] = [];
  for (const [index, item] of items.entries()) {
    faults.push(...itemFaults(item, `${path}[${index}]`));
    if (faults.length >= maxFaults) break;
  }
  return faults;
}

function namesFaults(value: unknown, path: string): readonly Fault[] {
  const isNames = Array.isArray(value) && value.every((name) => typeof name === 'string');
  if (!isNames) return [{ path, message: 'must be a list of names' }];
  return new Set(value).size === value.length ? [] : [{ path, message: 'has a name twice' }];
}

/** Exactly one container of the original Pod is left in it, all others were removed, and none is in both. */
function nameFaults(removed: Removed, present: readonly IContainer[]): Fault[] {
  const names = removed.containers.map((container) => container.name);
  const inPod = new Set(present.map((container) => container.name));
  const left = removed.order.containers.filter((name) => inPod.has(name));
  const gone = removed.order.containers.filter((name) => !inPod.has(name));
  const faults: Fault[] = [];
  if (left.length !== 1) {
    faults.push({
      path: `${annotationPath}.order.containers`,
      message: `the Pod has ${left.length} of its containers, not 1`,
    });
  }
  if (names.length === 0 || !isDeepStrictEqual(names.toSorted(), gone.toSorted())) {
    faults.push({ path: `${annotationPath}.containers`, message: 'must be the rest of order.containers, each once' });
  }
  for (const key of Object.keys(removed.annotations)) {
    const container = appArmorContainer(key);
    if (container === undefined || !names.includes(container)) {
      faults.push({ path: `${annotationPath}.annotations[${key}]`, message: 'is not about a removed container' });
    }
  }
  return faults;
}
