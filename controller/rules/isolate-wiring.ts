import type { Flow, Protocol } from '../api/flow.ts';
import {
  array,
  dnsLabel,
  integer,
  isRecord,
  object,
  oneOf,
  optional,
  type Problem,
  type Reader,
} from './json-reader.ts';
import {
  flowReader,
  observedReader,
  orderedFlow,
  orderedPodNetwork,
  orderedVia,
  parseWith,
  podNetworkReader,
  viaProblems,
  viaReader,
} from './wiring-json.ts';
import type { Observed, PodNetwork, Via } from './wiring.ts';

/**
 * All that the network namespace of an isolated Pod has to know: who its containers are (kernel UIDs), and who may reach
 * what. It travels where a piece's wiring does, in the annotation `podsplit.io/wiring`, and changes when flows do.
 */
export interface IsolateWiring {
  readonly version: 1;
  readonly mode: 'isolate';
  /** `splitId` of the Pod: only for people who read it. */
  readonly split: string;
  /** In the order of the Pod: the place in this list is a container's number in the rules. */
  readonly containers: readonly IsolatedContainer[];
  readonly flows: readonly Flow[];
  /** Of them those that policies with action Audit would refuse: they pass, and are recorded. */
  readonly auditedFlows?: readonly Flow[];
  /** Containers whose only way out is another. */
  readonly via?: readonly Via[];
  /** Between these ends nothing is enforced, and what is used is recorded (rules/isolate-observe.ts). */
  readonly observe?: Observed;
}

/** Init containers too, unless one shares the UID of a container: the two never run at once, and are judged as one. */
export interface IsolatedContainer {
  readonly name: string;
  readonly uid: number;
  /** Declared ones. */
  readonly ports: readonly ServedPort[];
  /** TCP ports that the kubelet calls, whatever policies say. */
  readonly probes: readonly number[];
  /** What policies leave of the Pod's own network for this container; absent: all that a container of a Pod has there. */
  readonly podNetwork?: PodNetwork;
}

export interface ServedPort {
  readonly port: number;
  readonly protocol: Protocol;
}

/** Numbers of containers are a byte in the rules, and the table has a chain for each. */
export const maxIsolated = 64;

const port = integer(1, 65535);
const container: Reader<IsolatedContainer> = object({
  name: dnsLabel,
  uid: integer(1, 2 ** 31 - 1),
  ports: array(object({ port, protocol: oneOf('tcp', 'udp') }), 1000),
  probes: array(port, 1000),
  podNetwork: optional(podNetworkReader),
});

const wiring: Reader<IsolateWiring> = object({
  version: oneOf(1),
  mode: oneOf('isolate'),
  split: dnsLabel,
  containers: array(container, maxIsolated),
  flows: array(flowReader, 10_000),
  auditedFlows: optional(array(flowReader, 10_000)),
  via: optional(array(viaReader, maxIsolated)),
  observe: optional(observedReader),
});

/** Is this the wiring of an isolated Pod? Whether it reads is another question. */
export function isIsolateWiring(text: string): boolean {
  try {
    const json: unknown = JSON.parse(text);
    return isRecord(json) && json['mode'] === 'isolate';
  } catch {
    return false;
  }
}

/** As `parseWiring`: every field is checked, and throws `WiringError` with all problems found. */
export function parseIsolateWiring(text: string): IsolateWiring {
  return parseWith(text, wiring, contradictions);
}

/** One form for one wiring: the hash of it proves which rules are loaded. */
export function formatIsolateWiring(value: IsolateWiring): string {
  return JSON.stringify({
    version: value.version,
    mode: value.mode,
    split: value.split,
    containers: value.containers.map(({ name, uid, ports, probes, podNetwork }) => ({
      name,
      uid,
      ports: ports.map(({ port, protocol }) => ({ port, protocol })),
      probes,
      podNetwork: orderedPodNetwork(podNetwork),
    })),
    flows: value.flows.map(orderedFlow),
    auditedFlows: value.auditedFlows?.map(orderedFlow),
    via: value.via?.map(orderedVia),
    observe: value.observe && { from: value.observe.from, to: value.observe.to },
  });
}

function contradictions({ containers, flows, auditedFlows = [], via = [] }: IsolateWiring): readonly Problem[] {
  const twice = (values: readonly (string | number)[], field: string): readonly Problem[] =>
    values.flatMap((value, i) => {
      const first = values.indexOf(value);
      const message = `${value} is already at $.containers[${first}].${field}`;
      return first === i ? [] : [{ path: `$.containers[${i}].${field}`, message }];
    });
  const names = containers.map(({ name }) => name);
  const known = new Set(names);
  const unknown = Object.entries({ flows, auditedFlows }).flatMap(([field, list]) =>
    list.flatMap((flow, i) =>
      (['from', 'to'] as const)
        .filter((end) => !known.has(flow[end]))
        .map((end) => ({ path: `$.${field}[${i}].${end}`, message: `no container is named ${flow[end]}` })),
    ),
  );
  const circular = flows.flatMap(({ from, to }, i) =>
    from === to ? [{ path: `$.flows[${i}]`, message: 'leads from a container to itself' }] : [],
  );
  return [
    ...(containers.length === 0 ? [{ path: '$.containers', message: 'names no container' }] : []),
    ...twice(names, 'name'),
    ...twice(
      containers.map(({ uid }) => uid),
      'uid',
    ),
    ...unknown,
    ...circular,
    ...servedTwice(containers),
    ...viaProblems(known, via),
  ];
}

/** Who is called at a UDP port has to be known before anybody answers. */
function servedTwice(containers: readonly IsolatedContainer[]): readonly Problem[] {
  const owners = new Map<string, string>();
  return containers.flatMap(({ name, ports }, i) =>
    ports.flatMap(({ port, protocol }, j) => {
      const key = `${port}/${protocol}`;
      const owner = owners.get(key);
      owners.set(key, name);
      return owner === undefined
        ? []
        : [{ path: `$.containers[${i}].ports[${j}]`, message: `${key} is already ${owner}'s` }];
    }),
  );
}
