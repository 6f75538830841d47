import fc from 'fast-check';
import type { Protocol } from '../api/flow.ts';
import { everyAddress } from '../policies/address-range.ts';
import { allowedList, type Opening } from '../policies/allowed-list.ts';
import type { Allowances, Endpoint, FacadePort, IngressVia, Local, Peer, Via, ViaDns, Wiring } from './wiring.ts';

/** A split Pod of 1 to 10 pieces, seen from one of them; only for tests. */
interface Shape {
  readonly pieces: number;
  readonly self: number;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly told: boolean;
  readonly flows: readonly (readonly [number, number, number, Protocol])[];
  readonly facade: readonly (readonly [number, number, Protocol])[];
  readonly via: readonly (readonly [number, number | undefined, ViaDns])[];
  readonly proxy: number;
  readonly entry: Omit<IngressVia, 'to'> | undefined;
  readonly ingress: Allowances | undefined;
  readonly egress: Allowances | undefined;
}

const port = fc.oneof(fc.integer({ min: 1, max: 65535 }), fc.constantFrom(1, 80, 443, 65535));
const protocol = fc.constantFrom<Protocol>('tcp', 'udp');
const piece = fc.nat(9);

const last16 = fc.nat(0xffff);
const portRange = fc
  .tuple(port, port)
  .map(([one, other]) => ({ first: Math.min(one, other), last: Math.max(one, other) }));

/** Ranges near each other, some of one address, some of all. */
const opening: fc.Arbitrary<Opening> = fc
  .record({
    base: fc.constantFrom(
      { family: 'ipv4' as const, start: 0x0a00_0000n },
      { family: 'ipv4' as const, start: 0xffff_0000n },
      { family: 'ipv6' as const, start: 0xfd00n << 112n },
      { family: 'ipv6' as const, start: 0n },
    ),
    addresses: fc.oneof(
      last16.map((one) => [one, one] as const),
      fc.tuple(last16, last16),
    ),
    service: fc.record(
      { protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const), ports: portRange },
      { requiredKeys: ['protocol'] },
    ),
    everything: fc.integer({ min: 0, max: 5 }),
  })
  .map(({ base: { family, start }, addresses: [one, other], service, everything }) => ({
    family,
    first: start + BigInt(Math.min(one, other)),
    last: start + BigInt(Math.max(one, other)),
    ...(everything === 0 ? {} : service),
  }));
const allowed = fc
  .tuple(fc.array(opening, { maxLength: 12 }), fc.integer({ min: 0, max: 9 }))
  .map(([openings, every]) => allowedList(every === 0 ? [...openings, ...everyAddress] : openings) ?? []);
const allowances = fc.option(fc.record({ enforce: allowed, audit: allowed }, { requiredKeys: [] }), { nil: undefined });

const shape: fc.Arbitrary<Shape> = fc
  .record({
    pieces: fc.integer({ min: 1, max: 10 }),
    self: piece,
    families: fc.constantFrom([true, true], [true, false], [false, true]),
    told: fc.boolean(),
    flows: fc.array(fc.tuple(piece, piece, port, protocol), { maxLength: 40 }),
    facade: fc.array(fc.tuple(piece, port, protocol), { maxLength: 20 }),
    via: fc.array(
      fc.tuple(piece, fc.option(port, { nil: undefined }), fc.constantFrom<ViaDns>('none', 'cluster', 'proxy')),
      { maxLength: 3 },
    ),
    proxy: piece,
    entry: fc.option(
      fc.record({
        port,
        direct: fc.uniqueArray(port, { maxLength: 4 }),
        probes: fc.uniqueArray(port, { maxLength: 4 }),
      }),
      { nil: undefined },
    ),
    ingress: allowances,
    egress: allowances,
  })
  .map(({ families: [ipv4 = true, ipv6 = true], ...rest }) => ({ ...rest, ipv4, ipv6 }));

/** A wiring that `parseWiring` takes, with what the piece would see of itself. The first piece is the primary. */
export const arbitraryWiring: fc.Arbitrary<{ readonly wiring: Wiring; readonly local: Local }> = shape.map((s) => {
  const self = s.self % s.pieces;
  const numbers = [...Array(s.pieces).keys()];
  return {
    wiring: {
      version: 1,
      split: '0a1b2c3d4e',
      piece: name(self),
      role: role(self),
      release: 'go',
      self: endpoint(self, s),
      peers: numbers.filter((n) => n !== self).map((n): Peer => ({ name: name(n), role: role(n), ...endpoint(n, s) })),
      pool: { ...(s.ipv4 ? { ipv4: '198.18.0.0/15' } : {}), ...(s.ipv6 ? { ipv6: 'fd99:18::/64' } : {}) },
      flows: uniqueBy(
        s.flows
          .map(([from, to, flowPort, p]) => ({ from: from % s.pieces, to: to % s.pieces, port: flowPort, protocol: p }))
          .filter(({ from, to }) => from !== to)
          .map((flow) => ({ ...flow, from: name(flow.from), to: name(flow.to) })),
        (flow) => `${flow.from} ${flow.port} ${flow.protocol}`,
      ),
      facade: uniqueBy(
        s.facade
          .filter(([n]) => n % s.pieces !== 0)
          .filter(([n, , p]) => s.entry === undefined || p === 'udp' || n % s.pieces === s.proxy % s.pieces)
          .map(([n, facadePort, p]): FacadePort => ({ piece: name(n % s.pieces), port: facadePort, protocol: p })),
        (each) => `${each.port} ${each.protocol}`,
      ),
      ...viaOf(s),
      ...(s.entry && { ingressVia: { to: name(s.proxy % s.pieces), ...s.entry } }),
      ...(s.ingress === undefined && s.egress === undefined
        ? {}
        : { podNetwork: { ...(s.ingress && { ingress: s.ingress }), ...(s.egress && { egress: s.egress }) } }),
    },
    local: { podIPs: podIPs(self, s), nodeIPs: ['10.0.0.1', '10.244.0.1', 'fd00:10::1'], mtu: 1500 },
  };
});

/** All by one proxy: one that is kept in itself would be refused. */
function viaOf({ via, proxy, pieces }: Shape): Pick<Wiring, 'via'> {
  const to = name(proxy % pieces);
  const ways = via.map(([from, viaPort, dns]): Via => ({
    from: name(from % pieces),
    to,
    ...(viaPort === undefined ? {} : { port: viaPort }),
    dns,
    resolvers: dns === 'cluster' ? ['10.96.0.10', 'fd00:10:96::a'] : [],
  }));
  const unique = uniqueBy(ways, ({ from }) => from).filter(({ from }) => from !== to);
  return unique.length === 0 ? {} : { via: unique };
}

function name(n: number): string {
  return `piece-${n}`;
}

function role(n: number): 'primary' | 'sibling' {
  return n === 0 ? 'primary' : 'sibling';
}

function endpoint(n: number, { ipv4, ipv6, told }: Shape): Endpoint {
  return {
    mac: `0a:58:c6:12:00:0${n}`,
    ...(ipv4 ? { ipv4: `198.18.0.${8 + n}` } : {}),
    ...(ipv6 ? { ipv6: `fd99:18::${(8 + n).toString(16)}` } : {}),
    ...(told ? { podIPs: podIPs(n, { ipv4, ipv6 }) } : {}),
  };
}

function podIPs(n: number, { ipv4, ipv6 }: Pick<Shape, 'ipv4' | 'ipv6'>): readonly string[] {
  return [...(ipv4 ? [`10.244.0.${20 + n}`] : []), ...(ipv6 ? [`fd00:10:244::${(20 + n).toString(16)}`] : [])];
}

function uniqueBy<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  return [...new Map(items.map((item) => [key(item), item])).values()];
}
