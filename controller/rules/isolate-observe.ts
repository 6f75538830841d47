import { note } from './isolate-note.ts';
import { usedSeconds, usedSize } from './observe.ts';
import type { Chain, NamedSet } from './nft.ts';
import type { Observed } from './wiring.ts';

interface Container {
  readonly name: string;
  readonly number: number;
  readonly ports: readonly { readonly port: number; readonly protocol: string }[];
}

export interface Pair {
  readonly from: Container;
  readonly to: Container;
}

/** Callers and answerers between whom nothing is enforced: docs/decisions/0021-observe-opens-what-listens.md. */
export function openPairs(containers: readonly Container[], observe: Observed | undefined): readonly Pair[] {
  if (observe === undefined) return [];
  return containers
    .filter(({ name }) => observe.from.includes(name))
    .flatMap((from) =>
      containers.filter((to) => to !== from && observe.to.includes(to.name)).map((to) => ({ from, to })),
    );
}

export interface OpenCall {
  readonly caller: number;
  readonly ports: { readonly first: number; readonly last: number };
}

/**
 * UDP is delivered before anybody answers, and a port does not say whose it is. So a caller sends anywhere only where it may
 * call everybody; where a policy closes a container, only to ports that others declare.
 */
export function openCalls(containers: readonly Container[], pairs: readonly Pair[]): readonly OpenCall[] {
  return [...Map.groupBy(pairs, ({ from }) => from)].flatMap(([{ number: caller }, open]): readonly OpenCall[] => {
    if (open.length === containers.length - 1) return [{ caller, ports: { first: 0, last: 65535 } }];
    return open
      .flatMap(({ to }) => to.ports.filter(({ protocol }) => protocol === 'udp'))
      .map(({ port }) => ({ caller, ports: { first: port, last: port } }));
  });
}

/** In the table of a Pod that is observed. */
export function usedSet(n: '4' | '6', addr: string): NamedSet {
  return {
    name: `used${n}`,
    type: `mark . ${addr} . ${addr} . inet_proto . inet_service`,
    kind: 'dynamic',
    properties: `size ${usedSize}; flags dynamic,timeout; timeout ${usedSeconds / 3600}h;`,
    elements: [],
    comment: 'which connections its containers have opened: what a policy would have to allow',
  };
}

export const usedChains: readonly Chain[] = [
  { name: 'note_used', comment: 'podsplit.io/flows=observe: nothing is decided here', rules: note('used') },
  {
    name: 'used_call',
    comment: 'the same of a call, whose packet has no mark',
    rules: ['meta mark set ct mark', 'jump note_used', 'meta mark set 0'],
  },
];

/** Where they belong, in a Pod that is observed. */
export const usedRules = {
  /** In audit_flow: TCP that another container has answered. */
  answered: 'meta l4proto tcp jump note_used',
  /** In answered: who else may answer whom. */
  answer: 'meta mark @open ct mark set meta mark goto audit_flow',
  /** In lo_out. */
  loopback: 'ct mark @open accept',
  /** In unanswered: a container's first datagram by loopback. */
  datagram:
    'ct direction original meta l4proto udp ct status & confirmed == 0 ct mark . th dport @calls jump used_call',
  /** In audit_out: what a container calls beyond the Pod. */
  beyond: 'jump used_call',
} as const;
