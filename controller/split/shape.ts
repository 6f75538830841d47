import type { IPod } from 'kubernetes-models/v1/Pod';
import { isDnsLabel, isDnsSubdomain } from '../api/dns-names.ts';
import { isDeeperThan, isRecord, withoutNulls } from '../api/json.ts';
import { parseQuantity } from '../api/quantity.ts';
import type { Refusal } from '../api/refusal.ts';

/**
 * The Pod that a value is, if it has a Pod's shape in all that `split` reads; what it does not know it leaves alone. An API server
 * would refuse the same Pod; but it only ever validates the cut one, so that a broken container among those removed would
 * come to light when the controller creates the sibling, too late for whoever made the Pod.
 */
export function shapeOf(value: unknown): PodShape {
  if (isDeeperThan(maxDepth, value)) return { kind: 'invalid', refusals: [invalidPod(tooDeep('pod'))] };
  const pod = withoutNulls(value);
  if (isPod(pod)) return { kind: 'pod', pod };
  return { kind: 'invalid', refusals: faultsOf(podShape, pod, '').map(invalidPod) };
}

export type PodShape =
  { readonly kind: 'pod'; readonly pod: IPod } | { readonly kind: 'invalid'; readonly refusals: readonly Refusal[] };

/** Of a container alone: the `podsplit.io/removed` annotation holds some. */
export function containerFaults(value: unknown, path: string): readonly Fault[] {
  return faultsOf(container, value, path);
}

export function volumeFaults(value: unknown, path: string): readonly Fault[] {
  return faultsOf(volume, value, path);
}

export function resourceClaimFaults(value: unknown, path: string): readonly Fault[] {
  return faultsOf(named, value, path);
}

export interface Fault {
  readonly path: string;
  readonly message: string;
}

/** Looks at a value and adds what is wrong with it. */
type Shape = (value: unknown, path: string, faults: Fault[]) => void;

/** The deepest field of a Pod that Kubernetes knows is at about 12. */
export const maxDepth = 64;

export function tooDeep(path: string): Fault {
  return { path, message: `Is nested deeper than ${maxDepth} levels.` };
}

function isPod(value: unknown): value is IPod {
  return faultsOf(podShape, value, '').length === 0;
}

function faultsOf(shape: Shape, value: unknown, path: string): Fault[] {
  const faults: Fault[] = [];
  shape(value, path, faults);
  return faults;
}

function invalidPod(fault: Fault): Refusal {
  return { code: 'InvalidPod', path: fault.path, message: fault.message, action: 'Correct the field.' };
}

/** A Pod may hold some thousand wrong entries; nobody reads more than these. */
export const maxFaults = 20;

function fault(faults: Fault[], path: string, message: string): void {
  if (faults.length < maxFaults) faults.push({ path: path === '' ? 'pod' : path, message });
}

function scalar(type: 'string' | 'number' | 'boolean'): Shape {
  return (value, path, faults) => {
    if (typeof value !== type) fault(faults, path, `Must be a ${type}, is ${describe(value)}.`);
  };
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'missing';
  return Array.isArray(value) ? 'a list' : `of type ${typeof value}`;
}

function optional(shape: Shape): Shape {
  return (value, path, faults) => {
    if (value !== undefined) shape(value, path, faults);
  };
}

function record(fields: Readonly<Record<string, Shape>>): Shape {
  const entries = Object.entries(fields);
  return (value, path, faults) => {
    if (!isRecord(value)) {
      fault(faults, path, `Must be an object, is ${describe(value)}.`);
      return;
    }
    for (const [name, shape] of entries) shape(value[name], path === '' ? name : `${path}.${name}`, faults);
  };
}

function listOf(item: Shape, key?: string): Shape {
  return (value, path, faults) => {
    if (!Array.isArray(value)) {
      fault(faults, path, `Must be a list, is ${describe(value)}.`);
      return;
    }
    const items: readonly unknown[] = value;
    const seen = new Set<unknown>();
    for (const [index, element] of items.entries()) {
      item(element, `${path}[${index}]`, faults);
      if (key === undefined || !isRecord(element)) continue;
      if (seen.has(element[key])) fault(faults, `${path}[${index}].${key}`, `Is in the list twice.`);
      seen.add(element[key]);
    }
  };
}

const mapOfText: Shape = (value, path, faults) => {
  if (!isRecord(value)) {
    fault(faults, path, `Must be an object, is ${describe(value)}.`);
    return;
  }
  for (const [key, entry] of Object.entries(value)) text(entry, `${path}[${key}]`, faults);
};

const text = scalar('string');
const flag = scalar('boolean');
const number = scalar('number');

function name(allowed: string, isAllowed: (name: string) => boolean): Shape {
  return (value, path, faults) => {
    if (typeof value !== 'string') text(value, path, faults);
    else if (!isAllowed(value)) fault(faults, path, `${JSON.stringify(value.slice(0, 80))} is not ${allowed}.`);
  };
}

const label = name('an RFC 1123 label', isDnsLabel);

const portNumber: Shape = (value, path, faults) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535) {
    fault(faults, path, 'Must be a port number from 1 to 65535.');
  }
};

const portOrName: Shape = (value, path, faults) => {
  (typeof value === 'string' ? text : portNumber)(value, path, faults);
};

/** The API server never sees an emptyDir that pieces share: it is in an annotation. */
const quantity: Shape = (value, path, faults) => {
  const bytes = typeof value === 'string' ? parseQuantity(value) : value;
  if (typeof bytes !== 'number' || bytes < 0) {
    fault(faults, path, `Must be a quantity that is not negative, like 64Mi, is ${JSON.stringify(value)}.`);
  }
};

const amount: Shape = (value, path, faults) => {
  if (typeof value !== 'number') text(value, path, faults);
};

const mapOfAmounts: Shape = (value, path, faults) => {
  if (!isRecord(value)) fault(faults, path, `Must be an object, is ${describe(value)}.`);
  else for (const [key, entry] of Object.entries(value)) amount(entry, `${path}[${key}]`, faults);
};

const quantities: Shape = record({
  requests: optional(mapOfAmounts),
  limits: optional(mapOfAmounts),
  claims: optional(listOf(record({ name: text }))),
});

const fieldRef = optional(record({ fieldPath: text }));
const resourceFieldRef = optional(record({ resource: text, containerName: optional(text) }));

const handler = optional(
  record({
    httpGet: optional(record({ port: portOrName })),
    tcpSocket: optional(record({ port: portOrName })),
    grpc: optional(record({ port: portNumber })),
  }),
);

const container: Shape = record({
  name: label,
  restartPolicy: optional(text),
  ports: optional(
    listOf(
      record({
        containerPort: portNumber,
        hostPort: optional(portNumber),
        hostIP: optional(text),
        name: optional(text),
        protocol: optional(text),
      }),
    ),
  ),
  env: optional(
    listOf(
      record({
        name: text,
        value: optional(text),
        valueFrom: optional(record({ fieldRef, resourceFieldRef, fileKeyRef: optional(record({ volumeName: text })) })),
      }),
    ),
  ),
  volumeMounts: optional(listOf(record({ name: text, mountPath: text }))),
  volumeDevices: optional(listOf(record({ name: text }))),
  resources: optional(quantities),
  securityContext: optional(
    record({
      privileged: optional(flag),
      allowPrivilegeEscalation: optional(flag),
      runAsUser: optional(number),
      runAsNonRoot: optional(flag),
      seccompProfile: optional(record({ type: optional(text) })),
      appArmorProfile: optional(record({ type: optional(text) })),
      seLinuxOptions: optional(record({ type: optional(text), user: optional(text), role: optional(text) })),
      procMount: optional(text),
      capabilities: optional(record({ add: optional(listOf(text)), drop: optional(listOf(text)) })),
    }),
  ),
  livenessProbe: handler,
  readinessProbe: handler,
  startupProbe: handler,
  lifecycle: optional(record({ postStart: handler, preStop: handler })),
});

const downwardItems = optional(record({ items: optional(listOf(record({ path: text, fieldRef, resourceFieldRef }))) }));

const volume: Shape = record({
  name: label,
  emptyDir: optional(record({ medium: optional(text), sizeLimit: optional(quantity) })),
  ephemeral: optional(record({})),
  csi: optional(record({ driver: text, readOnly: optional(flag) })),
  persistentVolumeClaim: optional(record({ claimName: text })),
  downwardAPI: downwardItems,
  projected: optional(record({ sources: optional(listOf(record({ downwardAPI: downwardItems }))) })),
});

const named: Shape = record({ name: label });

const atLeastOne =
  (shape: Shape): Shape =>
  (value, path, faults) => {
    shape(value, path, faults);
    if (Array.isArray(value) && value.length === 0) fault(faults, path, 'Must not be empty.');
  };

const podShape: Shape = record({
  metadata: optional(
    record({
      name: optional(name('an RFC 1123 subdomain', isDnsSubdomain)),
      generateName: optional(text),
      namespace: optional(text),
      uid: optional(text),
      labels: optional(mapOfText),
      annotations: optional(mapOfText),
    }),
  ),
  spec: record({
    containers: atLeastOne(listOf(container, 'name')),
    initContainers: optional(listOf(container, 'name')),
    volumes: optional(listOf(volume, 'name')),
    resourceClaims: optional(listOf(named, 'name')),
    resources: optional(record({})),
    hostNetwork: optional(flag),
    hostPID: optional(flag),
    hostIPC: optional(flag),
    hostUsers: optional(flag),
    shareProcessNamespace: optional(flag),
    nodeName: optional(text),
    nodeSelector: optional(mapOfText),
    hostname: optional(text),
    hostnameOverride: optional(text),
    setHostnameAsFQDN: optional(flag),
    restartPolicy: optional(text),
    os: optional(record({ name: text })),
    securityContext: optional(
      record({
        runAsUser: optional(number),
        runAsNonRoot: optional(flag),
        seccompProfile: optional(record({ type: optional(text) })),
        appArmorProfile: optional(record({ type: optional(text) })),
        seLinuxOptions: optional(record({ type: optional(text), user: optional(text), role: optional(text) })),
        sysctls: optional(listOf(record({ name: text }))),
      }),
    ),
    schedulingGates: optional(listOf(record({ name: text }))),
    readinessGates: optional(listOf(record({ conditionType: text }))),
  }),
});
