import type { Flow, Protocol } from '../api/flow.ts';
import { priority, type Chain, type NamedSet } from './nft.ts';
import type { Both } from './redirect-names.ts';
import type { Wiring } from './wiring.ts';

export interface Listening {
  readonly protocol: Protocol;
  readonly port: number;
}

/** Of one piece: enough for a Pod's programs, and no more than that for whoever opens thousands of sockets. */
export const maxListening = 64;

/**
 * What nobody declared and a Pod's programs may use all the same, while `podsplit.io/flows` is `observe`: each port at which
 * exactly one piece listens is open to the others, but to those that listen there themselves, which would call themselves in
 * one Pod too. With two listeners nobody can say who is meant. Declared flows come first: one call leads to one piece. What
 * policies close stays closed.
 *
 * @param listening by piece
 */
export function observedFlows(wiring: Wiring, listening: ReadonlyMap<string, readonly Listening[]>): readonly Flow[] {
  const { observe } = wiring;
  if (observe === undefined) return [];
  const names = [wiring.piece, ...wiring.peers.map(({ name }) => name)].sort();
  const taken = new Set(wiring.flows.map((flow) => `${flow.from} ${keyOf(flow)}`));
  const listeners = Map.groupBy(
    names.flatMap((name) =>
      (listening.get(name) ?? []).slice(0, maxListening).map(({ protocol, port }) => ({ name, protocol, port })),
    ),
    keyOf,
  );
  return [...listeners.values()].flatMap(([one, ...others]) => {
    if (one === undefined || others.length > 0 || !observe.to.includes(one.name)) return [];
    const { name: to, protocol, port } = one;
    return observe.from
      .filter((from) => from !== to && !taken.has(`${from} ${keyOf(one)}`))
      .map((from) => ({ from, to, port, protocol }));
  });
}

function keyOf({ protocol, port }: Listening): string {
  return `${protocol} ${port}`;
}

/** How many kinds of connections each of the two sets tells apart; a full one is emptied by the agent, which adds up. */
export const usedSize = 512;
export const usedSeconds = 24 * 3600;

export function usedSets(n: string, addr: string): readonly NamedSet[] {
  return [
    {
      name: `used${n}`,
      type: `ifname . ${addr} . ${addr} . inet_proto . inet_service`,
      kind: 'dynamic',
      properties: `size ${usedSize}; flags dynamic,timeout; timeout ${usedSeconds / 3600}h;`,
      elements: [],
      comment: 'which connections this piece has opened: what a policy would have to allow',
    },
  ];
}

/**
 * Before the filter has its say, and without one of its own. Only what this piece opens itself: on the peer network by a
 * flow, on eth0 to anybody but its peers. Judged and counted once, by the first packet of a connection.
 */
export function usedChains(both: Both): readonly Chain[] {
  const note = (n: string, ip: string): string =>
    `update @used${n} { oifname . ${ip} saddr . ${ip} daddr . meta l4proto . th dport counter }`;
  return [
    {
      name: 'observe',
      base: { type: 'filter', hook: 'postrouting', priority: priority.afterSnat - 10, policy: 'accept' },
      comment: 'podsplit.io/flows=observe: nothing is decided here',
      rules: [
        'oifname "lo" accept',
        'meta l4proto != { tcp, udp } accept',
        'ct state != new accept',
        'ct direction reply accept',
        // A one-way UDP flow stays "new" as long as it sends.
        'ct status & confirmed != 0 accept',
        ...both(({ n, ip }) => [
          `oifname "net1" ${ip} saddr @self${n} ${ip} daddr . meta l4proto . th dport @out${n} ${note(n, ip)}`,
          `oifname != "net1" ${ip} saddr @own${n} ${ip} daddr != @pods${n} ${ip} daddr != @pool${n} ${note(n, ip)}`,
        ]),
      ],
    },
  ];
}
