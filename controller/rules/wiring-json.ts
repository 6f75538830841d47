import { createHash } from 'node:crypto';
import { maxFlows } from '../api/annotations.ts';
import type { Flow } from '../api/flow.ts';
import {
  addressRange,
  array,
  cidr,
  dnsLabel,
  integer,
  ipAddress,
  ipv4Address,
  ipv6Address,
  macAddress,
  object,
  oneOf,
  optional,
  type Problem,
  type Reader,
  unread,
} from './json-reader.ts';
import { contains } from './addresses.ts';
import type {
  Allowances,
  Allowed,
  Endpoint,
  FacadePort,
  IngressVia,
  Observed,
  Peer,
  PodNetwork,
  Via,
  Wiring,
} from './wiring.ts';

/** The annotation `podsplit.io/wiring` does not read as podsplit writes it; nothing of it is used then. */
export class WiringError extends Error {
  readonly code = 'InvalidWiring';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(`invalid wiring: ${problems.map(({ path, message }) => `${path}: ${message}`).join('; ')}`);
    this.name = 'WiringError';
    this.problems = problems;
  }
}

/** An annotation holds 256 kB, and an agent some hundred Pods. */
export const maxAllowed = 2000;
const maxFacade = 6000;

const port = integer(1, 65535);
const protocol = oneOf('tcp', 'udp');
const role = oneOf('primary', 'sibling');

const endpoint = {
  mac: macAddress,
  ipv4: optional(ipv4Address),
  ipv6: optional(ipv6Address),
  podIPs: optional(array(ipAddress, 16)),
};

export const flowReader: Reader<Flow> = object({ from: dnsLabel, to: dnsLabel, port, protocol });
const facadePort: Reader<FacadePort> = object({ piece: dnsLabel, port, protocol });
const peer: Reader<Peer> = object({ name: dnsLabel, role, ...endpoint });
const self: Reader<Endpoint> = object(endpoint);

const allowed: Reader<Allowed> = object({
  addresses: addressRange,
  protocol: optional(oneOf('tcp', 'udp', 'sctp')),
  ports: optional(object({ first: integer(0, 65535), last: integer(0, 65535) })),
});
const allowances: Reader<Allowances> = object({
  enforce: optional(array(allowed, maxAllowed)),
  audit: optional(array(allowed, maxAllowed)),
});
export const podNetworkReader: Reader<PodNetwork> = object({
  ingress: optional(allowances),
  egress: optional(allowances),
});
export const observedReader: Reader<Observed> = object({ from: array(dnsLabel, 256), to: array(dnsLabel, 256) });
export const viaReader: Reader<Via> = object({
  from: dnsLabel,
  to: optional(dnsLabel),
  port: optional(port),
  dns: oneOf('none', 'cluster', 'proxy'),
  resolvers: array(ipAddress, 16),
});
const ingressVia: Reader<IngressVia> = object({
  to: dnsLabel,
  port,
  direct: array(port, maxFacade),
  probes: array(port, 255),
});

const wiring: Reader<Wiring> = object({
  version: oneOf(1),
  split: dnsLabel,
  piece: dnsLabel,
  role,
  release: oneOf('hold', 'go'),
  self,
  peers: array(peer, 255),
  pool: object({ ipv4: optional(cidr(4)), ipv6: optional(cidr(6)) }),
  flows: array(flowReader, maxFlows),
  facade: array(facadePort, maxFacade),
  podNetwork: optional(podNetworkReader),
  via: optional(array(viaReader, 255)),
  ingressVia: optional(ingressVia),
  auditedFlows: optional(array(flowReader, maxFlows)),
  observe: optional(observedReader),
});

/**
 * Reads the annotation. It may have been written by anybody who may write Pods, and what it says goes into a ruleset:
 * every field is checked, unknown fields are errors, and so is what contradicts itself. Throws `WiringError` with all
 * problems found.
 */
export function parseWiring(text: string): Wiring {
  return parseWith(text, wiring, contradictions);
}

/**
 * @param contradictory what no field alone can tell; asked where every field reads
 * @throws WiringError with all problems found
 */
export function parseWith<T>(text: string, reader: Reader<T>, contradictory: (value: T) => readonly Problem[]): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new WiringError([{ path: '$', message: error instanceof Error ? error.message : 'not JSON' }]);
  }
  const problems: Problem[] = [];
  const parsed = reader(json, '$', (path, message) => problems.push({ path, message }));
  if (parsed !== unread && problems.length === 0) problems.push(...contradictory(parsed));
  if (parsed === unread || problems.length > 0) throw new WiringError(problems);
  return parsed;
}

/** One form for one wiring, whatever order its fields were set in: the hash of it proves which rules are loaded. */
export function formatWiring(value: Wiring): string {
  return JSON.stringify({
    version: value.version,
    split: value.split,
    piece: value.piece,
    role: value.role,
    release: value.release,
    self: orderedEndpoint(value.self),
    peers: value.peers.map((p) => ({ name: p.name, role: p.role, ...orderedEndpoint(p) })),
    pool: { ipv4: value.pool.ipv4, ipv6: value.pool.ipv6 },
    flows: value.flows.map(orderedFlow),
    facade: value.facade.map((f) => ({ piece: f.piece, port: f.port, protocol: f.protocol })),
    podNetwork: orderedPodNetwork(value.podNetwork),
    via: value.via?.map(orderedVia),
    ingressVia: value.ingressVia && {
      to: value.ingressVia.to,
      port: value.ingressVia.port,
      direct: value.ingressVia.direct,
      probes: value.ingressVia.probes,
    },
    auditedFlows: value.auditedFlows?.map(orderedFlow),
    observe: value.observe && { from: value.observe.from, to: value.observe.to },
  });
}

/** SHA-256 in hex of an annotation's text. */
export function wiringHash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function orderedEndpoint({ mac, ipv4, ipv6, podIPs }: Endpoint): object {
  return { mac, ipv4, ipv6, podIPs };
}

export function orderedPodNetwork(value: PodNetwork | undefined): object | undefined {
  if (value === undefined) return undefined;
  return { ingress: orderedAllowances(value.ingress), egress: orderedAllowances(value.egress) };
}

export function orderedFlow({ from, to, port: number, protocol: kind }: Flow): object {
  return { from, to, port: number, protocol: kind };
}

export function orderedVia({ from, to, port: number, dns, resolvers }: Via): object {
  return { from, to, port: number, dns, resolvers };
}

function orderedAllowances(value: Allowances | undefined): object | undefined {
  const ordered = (list: readonly Allowed[] | undefined) =>
    list?.map(({ addresses, protocol: kind, ports }) => ({
      addresses,
      protocol: kind,
      ports: ports && { first: ports.first, last: ports.last },
    }));
  return value && { enforce: ordered(value.enforce), audit: ordered(value.audit) };
}

/** What no field alone can tell. */
function contradictions(w: Wiring): Problem[] {
  return [
    ...identityProblems(w),
    ...roleProblems(w),
    ...flowProblems(w),
    ...facadeProblems(w),
    ...allowedProblems(w),
    ...viaProblems(new Set([w.piece, ...w.peers.map((p) => p.name)]), w.via ?? []),
    ...ingressViaProblems(w),
  ];
}

function allowedProblems({ podNetwork: policies }: Wiring): Problem[] {
  return (['ingress', 'egress'] as const).flatMap((direction) =>
    (['enforce', 'audit'] as const).flatMap((action) =>
      (policies?.[direction]?.[action] ?? []).flatMap(({ protocol: kind, ports }, i) => {
        const path = `$.podNetwork.${direction}.${action}[${i}].ports`;
        if (ports === undefined) return [];
        if (kind === undefined) return [{ path, message: 'are those of no protocol' }];
        return ports.first <= ports.last ? [] : [{ path, message: 'end before they begin' }];
      }),
    ),
  );
}

export function viaProblems(names: ReadonlySet<string>, vias: readonly Via[]): Problem[] {
  const from = new Set<string>();
  return vias
    .flatMap((v, i) => {
      const path = `$.via[${i}]`;
      const problems: Problem[] = [];
      if (!names.has(v.from)) problems.push({ path: `${path}.from`, message: `no piece is named ${v.from}` });
      if (v.to === undefined) {
        if (v.port !== undefined || v.dns !== 'none')
          problems.push({ path, message: 'leads nowhere, with a port or DNS' });
      } else if (!names.has(v.to)) problems.push({ path: `${path}.to`, message: `no piece is named ${v.to}` });
      if (v.from === v.to) problems.push({ path, message: 'leads from a piece to itself' });
      if (from.has(v.from)) problems.push({ path: `${path}.from`, message: `${v.from} already has a way out` });
      from.add(v.from);
      return problems;
    })
    .concat(
      // A proxy that is kept in itself would carry its client's traffic to nowhere, or in a circle.
      vias.flatMap((v, i) =>
        v.to !== undefined && from.has(v.to)
          ? [{ path: `$.via[${i}].to`, message: `${v.to} has no way out of its own` }]
          : [],
      ),
    );
}

function ingressViaProblems({ ingressVia: way, piece, peers, facade }: Wiring): Problem[] {
  if (way === undefined) return [];
  const known = way.to === piece || peers.some(({ name }) => name === way.to);
  return [
    ...(known ? [] : [{ path: '$.ingressVia.to', message: `no piece is named ${way.to}` }]),
    ...facade.flatMap((served, i) =>
      served.protocol === 'udp' || served.piece === way.to
        ? []
        : [{ path: `$.facade[${i}]`, message: `${served.piece} would be called around ${way.to}` }],
    ),
  ];
}

function identityProblems(w: Wiring): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, string>([[w.piece, '$.piece']]);
  const unique = (value: string | undefined, path: string): void => {
    if (value === undefined) return;
    const first = seen.get(value);
    if (first === undefined) seen.set(value, path);
    else problems.push({ path, message: `${value} is already at ${first}` });
  };
  const pieces = [{ path: '$.self', piece: w.self as Endpoint & { name?: string } }].concat(
    w.peers.map((piece, i) => ({ path: `$.peers[${i}]`, piece })),
  );
  for (const { path, piece } of pieces) {
    unique(piece.name, `${path}.name`);
    unique(piece.mac, `${path}.mac`);
    for (const family of ['ipv4', 'ipv6'] as const) {
      const address = piece[family];
      unique(address, `${path}.${family}`);
      const range = w.pool[family];
      if (address !== undefined && (range === undefined || !contains(range, address))) {
        problems.push({ path: `${path}.${family}`, message: `${address} is not in the pool ${range ?? '(none)'}` });
      }
    }
    if (piece.ipv4 === undefined && piece.ipv6 === undefined) {
      problems.push({ path, message: 'has neither ipv4 nor ipv6' });
    }
    for (const [i, podIP] of (piece.podIPs ?? []).entries()) unique(podIP, `${path}.podIPs[${i}]`);
  }
  return problems;
}

function roleProblems(w: Wiring): Problem[] {
  const primaries = w.peers.filter((p) => p.role === 'primary').length;
  const wanted = w.role === 'primary' ? 0 : 1;
  if (primaries === wanted) return [];
  return [{ path: '$.peers', message: `a ${w.role} has ${wanted} primary among its peers, found ${primaries}` }];
}

function flowProblems(w: Wiring): Problem[] {
  const names = new Set([w.piece, ...w.peers.map((p) => p.name)]);
  const targets = new Map<string, string>();
  return w.flows.flatMap((f, i) => {
    const path = `$.flows[${i}]`;
    const problems: Problem[] = [];
    if (!names.has(f.from)) problems.push({ path: `${path}.from`, message: `no piece is named ${f.from}` });
    if (!names.has(f.to)) problems.push({ path: `${path}.to`, message: `no piece is named ${f.to}` });
    if (f.from === f.to) problems.push({ path, message: 'leads from a piece to itself' });
    const key = `${f.from} ${f.port}/${f.protocol}`;
    const other = targets.get(key);
    if (other !== undefined) {
      problems.push({ path, message: `${f.from} already reaches ${other} at ${f.port}/${f.protocol}` });
    }
    targets.set(key, f.to);
    return problems;
  });
}

function facadeProblems(w: Wiring): Problem[] {
  const roles = new Map([[w.piece, w.role], ...w.peers.map((p) => [p.name, p.role] as const)]);
  const ports = new Map<string, string>();
  return w.facade.flatMap((f, i) => {
    const path = `$.facade[${i}]`;
    const problems: Problem[] = [];
    if (roles.get(f.piece) !== 'sibling') {
      problems.push({ path: `${path}.piece`, message: `no sibling is named ${f.piece}` });
    }
    const key = `${f.port}/${f.protocol}`;
    const other = ports.get(key);
    if (other !== undefined) problems.push({ path, message: `${key} is already ${other}'s` });
    ports.set(key, f.piece);
    return problems;
  });
}
