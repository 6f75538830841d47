import { isDeepStrictEqual } from 'node:util';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { waitName } from '../api/identity.ts';
import { isDeeperThan, isRecord, withoutNulls } from '../api/json.ts';
import { ownAnnotations } from '../api/names.ts';
import { appArmorContainer } from './app-armor.ts';
import { isNativeSidecar } from './pod.ts';
import type { Removed } from './removed.ts';
import {
  type Fault,
  containerFaults,
  maxDepth,
  maxFaults,
  resourceClaimFaults,
  tooDeep,
  volumeFaults,
} from './shape.ts';

const annotationPath = `metadata.annotations[${ownAnnotations.removed}]`;

type ParsedRemoved = { readonly removed: Removed } | { readonly faults: readonly Fault[] };

const fields: readonly string[] = [
  'version',
  'order',
  'containers',
  'sidecars',
  'volumes',
  'resourceClaims',
  'annotations',
];

/** Reads what `formatRemoved` wrote and nothing else. `left` is the spec of the Pod that it was removed from. */
export function parseRemoved(text: string, left: IPodSpec): ParsedRemoved {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { faults: [{ path: annotationPath, message: error instanceof Error ? error.message : 'not JSON' }] };
  }
  if (isDeeperThan(maxDepth, value)) return { faults: [tooDeep(annotationPath)] };
  const removed = withoutNulls(value);
  if (!isRemoved(removed)) return { faults: fieldFaults(removed).slice(0, maxFaults) };
  const faults = [...nameFaults(removed, left.containers), ...sidecarFaults(removed, left.initContainers)];
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
    ...(value['sidecars'] === undefined ? [] : listFaults(value['sidecars'], at('sidecars'), containerFaults)),
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
  const { sidecars = [] } = removed;
  const names = removed.containers.map((container) => container.name);
  const cut = new Set([...names, ...sidecars.map((container) => container.name)]);
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
  if (cut.size === 0 || !isDeepStrictEqual(names.toSorted(), gone.toSorted())) {
    faults.push({ path: `${annotationPath}.containers`, message: 'must be the rest of order.containers, each once' });
  }
  for (const key of Object.keys(removed.annotations)) {
    const container = appArmorContainer(key);
    if (container === undefined || !cut.has(container)) {
      faults.push({ path: `${annotationPath}.annotations[${key}]`, message: 'is not about a removed container' });
    }
  }
  return faults;
}

/** Each is one, and has its place among the init containers: its wait. */
function sidecarFaults({ sidecars = [] }: Removed, present: readonly IContainer[] = []): Fault[] {
  const path = `${annotationPath}.sidecars`;
  const places = new Set(present.map((container) => container.name));
  const names = new Set(sidecars.map((container) => container.name));
  return [
    ...(names.size === sidecars.length ? [] : [{ path, message: 'has a name twice' }]),
    ...sidecars.flatMap((container, i): Fault[] => {
      if (!isNativeSidecar(container)) return [{ path: `${path}[${i}].restartPolicy`, message: 'must be "Always"' }];
      if (places.has(waitName(container.name))) return [];
      return [{ path: `${path}[${i}].name`, message: `the Pod has no init container ${waitName(container.name)}` }];
    }),
  ].slice(0, maxFaults);
}
