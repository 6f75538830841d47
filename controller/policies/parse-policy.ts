import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import { egressDnsModes, type EgressDns } from '../api/egress-via.ts';
import { isRecord } from '../api/json.ts';
import type { PolicyProtocol, PortRange } from '../rules/wiring.ts';
import { covers, rangeOfCidr, without, type AddressRange } from './address-range.ts';
import { everyPort } from './allowed-list.ts';
import type { LabelSelector } from './label-selector.ts';
import type { PolicyProblem } from './policy-problem.ts';

/** A policy as precise types: nobody reads the object after this. */
export interface ParsedPolicy {
  readonly name: string;
  readonly namespace: string;
  readonly action: 'Enforce' | 'Audit';
  readonly selector: LabelSelector;
  /** Of the selected Pods; absent: all. */
  readonly containers?: ReadonlySet<string>;
  /** Absent: not about this direction. Empty: nothing is allowed. */
  readonly ingress?: readonly ParsedRule[];
  readonly egress?: readonly ParsedRule[];
  /** Whoever is selected goes out by this and by nothing else; `none` where it cannot be read. */
  readonly via?: ParsedVia;
}

export type ParsedVia =
  | { readonly kind: 'proxy'; readonly container: string; readonly port?: number; readonly dns: EgressDns }
  | { readonly kind: 'none' };

export interface ParsedRule {
  /** `spec.ingress[0]` */
  readonly path: string;
  readonly peers: 'everything' | readonly ParsedPeer[];
  readonly ports: 'every' | readonly ParsedPort[];
}

export type ParsedPeer = AddressPeer | PodPeer;

export interface AddressPeer {
  readonly kind: 'addresses';
  readonly path: string;
  readonly ranges: readonly AddressRange[];
}

export interface PodPeer {
  readonly kind: 'pods';
  readonly path: string;
  /** Absent: all Pods. */
  readonly pods?: LabelSelector;
  /** Absent: the policy's own namespace. */
  readonly namespaces?: LabelSelector;
  readonly containers?: ReadonlySet<string>;
}

export type ParsedPort =
  | { readonly kind: 'number'; readonly path: string; readonly protocol: PolicyProtocol; readonly ports: PortRange }
  | { readonly kind: 'name'; readonly path: string; readonly protocol: PolicyProtocol; readonly name: string };

export interface PolicyParse {
  readonly policy: ParsedPolicy;
  readonly problems: readonly PolicyProblem[];
}

type Report = (path: string, message: string) => void;

/** Objects of the watch cache are replaced, never changed: each is read once, however many Pods it is about. */
const parsed = new WeakMap<object, PolicyParse>();

/**
 * What the schema would have refused closes rather than opens: a selector that cannot be read selects everything where it
 * says who is guarded, and nothing where it says who may pass; a rule loses the part that is wrong, never its limits.
 */
export function parsePolicy(object: ContainerNetworkPolicy): PolicyParse {
  const known = parsed.get(object);
  if (known !== undefined) return known;
  const problems: PolicyProblem[] = [];
  const { name } = object.metadata;
  const report: Report = (path, message) => problems.push({ policy: name, code: 'Invalid', path, message });
  const policy = { name, namespace: object.metadata.namespace ?? '', ...specOf(object.spec, report) };
  const result = { policy, problems };
  parsed.set(object, result);
  return result;
}

function specOf(value: unknown, report: Report): Omit<ParsedPolicy, 'name' | 'namespace'> {
  if (!isRecord(value)) {
    report('spec', 'is missing');
    return { action: 'Enforce', selector: {}, ingress: [], egress: [] };
  }
  const containers = namesOf(value['containers'], 'spec.containers', report);
  const [ingress, egress] = [rulesOf(value, 'ingress', 'from', report), rulesOf(value, 'egress', 'to', report)];
  const types = typesOf(value, report);
  const via = viaOf(value, containers, report);
  return {
    action: actionOf(value['action'], report),
    selector: selectorOf(value['podSelector'], 'spec.podSelector', report) ?? {},
    ...(containers === undefined || containers.size === 0 ? {} : { containers }),
    ...(types.includes('Ingress') ? { ingress } : {}),
    ...(types.includes('Egress') ? { egress } : {}),
    ...(via === undefined ? {} : { via }),
  };
}

function actionOf(value: unknown, report: Report): ParsedPolicy['action'] {
  if (value === 'Audit') return 'Audit';
  if (value !== undefined && value !== 'Enforce') report('spec.action', `is ${show(value)}, not Enforce or Audit`);
  return 'Enforce';
}

/** All that is wrong with it, and then it is no way out at all. */
function viaOf(
  spec: Readonly<Record<string, unknown>>,
  containers: ReadonlySet<string> | undefined,
  report: Report,
): ParsedVia | undefined {
  const value = spec['egressVia'];
  if (value === undefined) return undefined;
  const { container, port, dns = 'none' } = isRecord(value) ? value : {};
  const mode = egressDnsModes.find((each) => each === dns);
  const path = 'spec.egressVia';
  const wrong: readonly (readonly [boolean, string, string])[] = [
    [typeof container !== 'string' || container === '', `${path}.container`, `is ${show(container)}, not a container`],
    [port !== undefined && !portNumber(port), `${path}.port`, `is ${show(port)}, not a number from 1 to 65535`],
    [mode === undefined, `${path}.dns`, `is ${show(dns)}, not ${egressDnsModes.join(', ')}`],
    [containers === undefined || containers.size === 0, path, 'needs spec.containers: whom it keeps'],
    [containers?.has(String(container)) === true, path, `leads from ${show(container)} to itself`],
    [spec['action'] === 'Audit', path, 'cannot be audited: remove it, or let action be Enforce'],
  ];
  for (const [is, where, message] of wrong) if (is) report(where, message);
  if (typeof container !== 'string' || mode === undefined || wrong.some(([is]) => is)) return { kind: 'none' };
  return { kind: 'proxy', container, dns: mode, ...(portNumber(port) ? { port } : {}) };
}

/** As NetworkPolicy's defaults: Ingress, and Egress where there are egress rules. Who is only kept is not closed to callers. */
function typesOf(spec: Readonly<Record<string, unknown>>, report: Report): readonly string[] {
  const types = spec['policyTypes'];
  if (types === undefined || (Array.isArray(types) && types.length === 0)) {
    const ruled = (rules: unknown): boolean => rules !== undefined && !(Array.isArray(rules) && rules.length === 0);
    const ingress = spec['egressVia'] === undefined || ruled(spec['ingress']);
    return [...(ingress ? ['Ingress'] : []), ...(ruled(spec['egress']) ? ['Egress'] : [])];
  }
  if (isStrings(types) && types.every((type) => type === 'Ingress' || type === 'Egress')) return types;
  report('spec.policyTypes', `is ${show(types)}, not a list of Ingress and Egress`);
  return ['Ingress', 'Egress'];
}

function rulesOf(
  spec: Readonly<Record<string, unknown>>,
  direction: 'ingress' | 'egress',
  peersField: 'from' | 'to',
  report: Report,
): readonly ParsedRule[] {
  const path = `spec.${direction}`;
  return (listOf(spec[direction], path, report) ?? []).flatMap((rule, i) => {
    const at = `${path}[${i}]`;
    if (!isRecord(rule)) {
      report(at, `is ${show(rule)}, not a rule`);
      return [];
    }
    const peers = listOf(rule[peersField], `${at}.${peersField}`, report);
    const ports = listOf(rule['ports'], `${at}.ports`, report);
    return [
      {
        path: at,
        peers:
          peers?.length === 0
            ? ('everything' as const)
            : (peers ?? []).flatMap((peer, j) => peerOf(peer, `${at}.${peersField}[${j}]`, report)),
        ports:
          ports?.length === 0
            ? ('every' as const)
            : (ports ?? []).flatMap((port, j) => portOf(port, `${at}.ports[${j}]`, report)),
      },
    ];
  });
}

/** Absent is empty; undefined where it is no list at all. */
function listOf(value: unknown, path: string, report: Report): readonly unknown[] | undefined {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value as readonly unknown[];
  report(path, `is ${show(value)}, not a list`);
  return undefined;
}

function peerOf(value: unknown, path: string, report: Report): readonly ParsedPeer[] {
  if (!isRecord(value)) {
    report(path, `is ${show(value)}, not a peer`);
    return [];
  }
  const { ipBlock, podSelector, namespaceSelector, containers: names } = value;
  const selects = podSelector !== undefined || namespaceSelector !== undefined;
  if (ipBlock !== undefined) {
    if (selects || names !== undefined) {
      report(path, 'has ipBlock and something else beside it');
      return [];
    }
    return blockOf(ipBlock, `${path}.ipBlock`, report);
  }
  if (!selects) {
    report(path, 'has neither ipBlock nor a selector');
    return [];
  }
  const pods = selectorOf(podSelector, `${path}.podSelector`, report);
  const namespaces = selectorOf(namespaceSelector, `${path}.namespaceSelector`, report);
  const containers = namesOf(names, `${path}.containers`, report);
  if (pods === undefined || namespaces === undefined || containers?.size === 0) return [];
  return [
    {
      kind: 'pods',
      path,
      ...(podSelector === undefined ? {} : { pods }),
      ...(namespaceSelector === undefined ? {} : { namespaces }),
      ...(containers === undefined ? {} : { containers }),
    },
  ];
}

function blockOf(value: unknown, path: string, report: Report): readonly ParsedPeer[] {
  const cidr = isRecord(value) ? value['cidr'] : undefined;
  const range = typeof cidr === 'string' ? rangeOfCidr(cidr) : undefined;
  if (!isRecord(value) || range === undefined) {
    report(`${path}.cidr`, `is ${show(cidr)}, not a range such as 10.0.0.0/8 or fd00::/8`);
    return [];
  }
  const excepts = listOf(value['except'], `${path}.except`, report);
  if (excepts === undefined) return [];
  const holes: AddressRange[] = [];
  for (const [i, text] of excepts.entries()) {
    const hole = typeof text === 'string' ? rangeOfCidr(text) : undefined;
    if (hole === undefined || !covers(range, hole)) {
      report(`${path}.except[${i}]`, `is ${show(text)}, not a range within ${show(cidr)}`);
      return [];
    }
    holes.push(hole);
  }
  return [{ kind: 'addresses', path, ranges: without(range, holes) }];
}

const portNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;

function portOf(value: unknown, path: string, report: Report): readonly ParsedPort[] {
  if (!isRecord(value)) {
    report(path, `is ${show(value)}, not a port`);
    return [];
  }
  const { protocol: written = 'TCP', port, endPort } = value;
  const protocol = protocols.get(written);
  if (protocol === undefined) {
    report(`${path}.protocol`, `is ${show(written)}, not TCP, UDP or SCTP`);
    return [];
  }
  if (endPort !== undefined && !(portNumber(port) && portNumber(endPort) && endPort >= port)) {
    report(`${path}.endPort`, `is ${show(endPort)}, not a number from port to 65535`);
    return [];
  }
  if (port === undefined) return [{ kind: 'number', path, protocol, ports: everyPort }];
  if (portNumber(port)) {
    const last = portNumber(endPort) ? endPort : port;
    return [{ kind: 'number', path, protocol, ports: { first: port, last } }];
  }
  if (typeof port === 'string' && /^[a-z0-9-]{1,15}$/.test(port)) {
    return [{ kind: 'name', path, protocol, name: port }];
  }
  report(`${path}.port`, `is ${show(port)}, not a number from 1 to 65535 or a port's name`);
  return [];
}

const protocols: ReadonlyMap<unknown, PolicyProtocol> = new Map([
  ['TCP', 'tcp'],
  ['UDP', 'udp'],
  ['SCTP', 'sctp'],
]);

/** Absent: undefined. What is no list of names has none of them. */
function namesOf(value: unknown, path: string, report: Report): ReadonlySet<string> | undefined {
  if (value === undefined) return undefined;
  const list = Array.isArray(value) ? value : [];
  const names = list.filter((name): name is string => typeof name === 'string' && name !== '');
  if (names.length === list.length && names.length > 0) return new Set(names);
  report(path, `is ${show(value)}, not a list of containers`);
  return new Set();
}

const operators: readonly unknown[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** Absent: an empty one; undefined where it cannot be read. */
function selectorOf(value: unknown, path: string, report: Report): LabelSelector | undefined {
  if (value === undefined) return {};
  const { matchLabels = {}, matchExpressions = [] } = isRecord(value) ? value : { matchLabels: value };
  const labels = isRecord(matchLabels) && isStrings(Object.values(matchLabels)) ? matchLabels : undefined;
  if (labels === undefined) report(`${path}.matchLabels`, `is ${show(matchLabels)}, not a map of labels`);
  const expressions = Array.isArray(matchExpressions) ? matchExpressions.map(requirementOf) : [undefined];
  for (const [i, each] of expressions.entries()) {
    if (each === undefined) report(`${path}.matchExpressions[${i}]`, 'is no requirement on a label');
  }
  const requirements = expressions.filter((each) => each !== undefined);
  if (labels === undefined || requirements.length < expressions.length) return undefined;
  return { matchLabels: labels as Record<string, string>, matchExpressions: requirements };
}

type Requirement = NonNullable<LabelSelector['matchExpressions']>[number];

function requirementOf(value: unknown): Requirement | undefined {
  const { key, operator, values = [] } = isRecord(value) ? value : {};
  if (typeof key !== 'string' || typeof operator !== 'string' || !operators.includes(operator)) return undefined;
  if (!isStrings(values)) return undefined;
  const wantsValues = operator === 'In' || operator === 'NotIn';
  return wantsValues === values.length > 0 ? { key, operator, values: [...values] } : undefined;
}

function isStrings(values: unknown): values is readonly string[] {
  return Array.isArray(values) && values.every((each) => typeof each === 'string');
}

/** Short, and safe to print: what was read may be anything. */
function show(value: unknown): string {
  const shown = JSON.stringify(value) as string | undefined;
  return shown === undefined ? 'missing' : shown.length > 60 ? `${shown.slice(0, 60)}...` : shown;
}
