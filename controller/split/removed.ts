import { isDeepStrictEqual } from 'node:util';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodResourceClaim } from 'kubernetes-models/v1/PodResourceClaim';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { waitName } from '../api/identity.ts';
import {
  initContainerName,
  ownAnnotations,
  ownLabels,
  readinessGate,
  schedulingGate,
  startedVolumeName,
  userAnnotations,
  wiringVolumeName,
} from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { parseRemoved } from './parse-removed.ts';
import type { Order, Plan } from './plan.ts';
import {
  annotationsOf,
  carriesInit,
  declaredPortsOf,
  labelsOf,
  mergeAll,
  pickEntries,
  specOf,
  unlessEmpty,
  without,
} from './pod.ts';
import type { Fault } from './shape.ts';
import { standsFor } from './shared-volumes.ts';
import { sidecarsOf } from './wait-containers.ts';

/**
 * What admission took out of a Pod, kept in the annotation `podsplit.io/removed` until the controller makes siblings of
 * it. Anybody who may create Pods can write the annotation: it says nothing that a whole Pod could not say, and is judged
 * as one each time it is read.
 */
export interface Removed {
  readonly version: 1;
  readonly order: Order;
  readonly containers: readonly IContainer[];
  /** Native sidecars, in whose places the primary's waits stand. Left out where there are none. */
  readonly sidecars?: readonly IContainer[];
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
  const sidecars = sidecarsOf(plan);
  return {
    version: 1,
    order: plan.order,
    containers: plan.siblings.filter((piece) => !sidecars.includes(piece)).map((piece) => piece.container),
    ...unlessEmpty(
      'sidecars',
      sidecars.map((piece) => piece.container),
    ),
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
  const parsed = parseRemoved(text, specOf(pod));
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
  const { sidecars = [] } = removed;
  const addedPorts = new Set([...removed.containers, ...sidecars].flatMap(declaredPortsOf).map(portKey));
  const original = new Set(removed.order.containers);
  const left = spec.containers.map((container) =>
    original.has(container.name) ? withoutPorts(container, addedPorts) : container,
  );
  // In whose place there was another: `restore` has looked which.
  const replaced = new Set(removed.volumes.map(({ name }) => name));
  const volumes = (spec.volumes ?? []).filter(
    ({ name }) => name !== wiringVolumeName && name !== startedVolumeName && !replaced.has(name),
  );
  const waits = new Map(sidecars.map((container) => [waitName(container.name), container]));
  const lists = {
    initContainers: (spec.initContainers ?? [])
      .filter((container) => container.name !== initContainerName)
      .map((container) => waits.get(container.name) ?? container),
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
