import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { inFreshNamespace } from '../../e2e/netns/fresh.ts';
import { changes } from './changes.ts';
import { markOf } from './isolate-model.ts';
import { compileIsolateTable } from './isolate-table.ts';
import { formatIsolateWiring, isIsolateWiring, parseIsolateWiring, type IsolateWiring } from './isolate-wiring.ts';
import { byProxy } from './isolate-via.ts';
import { differences } from './loaded.ts';
import { printTable, type Table } from './nft.ts';
import { WiringError } from './wiring-json.ts';
import type { Allowed, Local } from './wiring.ts';

const local: Local = { podIPs: ['10.244.1.7', 'fd00:10:244:1::7'], nodeIPs: ['10.0.0.1', '10.244.1.1', 'fd00:10::1'] };

const example: IsolateWiring = {
  version: 1,
  mode: 'isolate',
  split: '0a1b2c3d4e',
  containers: [
    { name: 'web', uid: 1001, ports: [{ port: 8080, protocol: 'tcp' }], probes: [8080] },
    {
      name: 'cache',
      uid: 1002,
      ports: [
        { port: 6379, protocol: 'tcp' },
        { port: 8125, protocol: 'udp' },
      ],
      probes: [],
      podNetwork: {
        ingress: { enforce: [] },
        egress: {
          enforce: [
            { addresses: '10.0.0.10-10.0.0.10', protocol: 'udp', ports: { first: 53, last: 53 } },
            { addresses: '10.1.0.0-10.1.0.255', protocol: 'sctp' },
            { addresses: 'fd00::-fd00::ff' },
          ],
        },
      },
    },
  ],
  flows: [
    { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
    { from: 'web', to: 'cache', port: 8125, protocol: 'udp' },
  ],
  via: [{ from: 'cache', to: 'web', port: 15001, dns: 'cluster', resolvers: ['10.0.0.10', 'fd00::a', 'fd01::a'] }],
  auditedFlows: [{ from: 'web', to: 'cache', port: 8125, protocol: 'udp' }],
};

const sidecar: IsolateWiring['containers'][number] = {
  name: 'sidecar',
  uid: 1003,
  ports: [{ port: 8127, protocol: 'udp' }],
  probes: [],
};

const list = ['sh', '-c', 'nft -f - && nft -j list table inet podsplit'];

describe('the wiring of an isolated Pod', () => {
  it('reads what it wrote', () => {
    const text = formatIsolateWiring(example);
    expect(isIsolateWiring(text)).to.equal(true);
    expect(parseIsolateWiring(text)).to.deep.equal(example);
    expect(formatIsolateWiring(parseIsolateWiring(text))).to.equal(text);
    for (const other of ['', '{', '[]', 'null', '{"version":1}']) expect(isIsolateWiring(other)).to.equal(false);
  });

  it('says all that is wrong', () => {
    const [web, cache] = example.containers;
    const wrong = {
      ...example,
      containers: [web!, { ...cache!, uid: 1001 }, { ...web!, uid: 0 }],
      flows: [
        { from: 'web', to: 'nobody', port: 1, protocol: 'tcp' },
        { from: 'web', to: 'web', port: 1, protocol: 'tcp' },
      ],
      via: [{ from: 'web', to: 'nobody', dns: 'none', resolvers: [] }],
      auditedFlows: [{ from: 'somebody', to: 'web', port: 1, protocol: 'tcp' }],
    };
    expect(problemsOf({ ...wrong, more: 1 })).to.deep.equal(['$.more', '$.containers[2].uid']);
    expect(problemsOf({ ...wrong, containers: [web!, { ...cache!, uid: 1001 }, { ...web!, uid: 7 }] })).to.deep.equal([
      '$.containers[2].name',
      '$.containers[1].uid',
      '$.flows[0].to',
      '$.auditedFlows[0].from',
      '$.flows[1]',
      '$.containers[2].ports[0]',
      '$.via[0].to',
    ]);
    expect(problemsOf({ ...example, containers: [], flows: [], via: [], auditedFlows: [] })).to.deep.equal([
      '$.containers',
    ]);
  });
});

describe('the rules of an isolated Pod', () => {
  it('are those of testdata/isolate/example.nft', () => {
    const file = new URL('testdata/isolate/example.nft', import.meta.url);
    const text = printTable(compileIsolateTable(example, local));
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
    expect(text).to.equal(readFileSync(file, 'utf8'));
  });

  it('leave a kept container its resolvers, as far as policies do, and judge what is carried by them', () => {
    const table = compileIsolateTable(example, local);
    expect(elementsOf(table, 'egress4').filter((each) => each.startsWith('2 '))).to.deep.equal([
      '2 . 10.0.0.10-10.0.0.10 . udp . 53-53',
    ]);
    expect(elementsOf(table, 'egress6')).to.deep.equal([
      '2 . fd00::a-fd00::a . tcp . 53-53',
      '2 . fd00::a-fd00::a . udp . 53-53',
    ]);
    expect(elementsOf(table, 'egress_all6')).to.deep.equal([
      '1 . ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      `${markOf(2, byProxy)} . fd00::-fd00::ff`,
    ]);
    expect(elementsOf(table, 'carried')).to.deep.equal(['1002 : 15001']);
  });

  it('open to containers that are observed what no policy closes', () => {
    const observed = (from: readonly string[], to: readonly string[]) =>
      compileIsolateTable(
        { ...example, containers: [...example.containers, sidecar], flows: [], observe: { from, to } },
        local,
      );
    const all = ['cache', 'sidecar', 'web'];
    expect(elementsOf(observed(all, all), 'open')).to.have.members(['513', '769', '258', '770', '259', '515']);
    expect(elementsOf(observed(all, all), 'calls')).to.have.members(['1 . 0-65535', '2 . 0-65535', '3 . 0-65535']);
    expect(elementsOf(observed(all, all), 'taken')).to.deep.equal([]);
    // A policy selects web for ingress and sidecar for egress: of an undeclared UDP port nobody knows that it is not web's.
    const some = observed(['cache', 'web'], ['cache', 'sidecar']);
    expect(elementsOf(some, 'open')).to.have.members(['513', '769', '770']);
    expect(elementsOf(some, 'calls')).to.have.members([
      '1 . 0-65535',
      '2 . 8125-8125',
      '2 . 8127-8127',
      '3 . 8127-8127',
    ]);
    expect(elementsOf(some, 'taken')).to.have.members(['2 . 8080', '3 . 8080', '3 . 6379']);
  });

  it('are taken by nft, and the listing proves them', function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(arbitrary, (wiring) => {
        const read = parseIsolateWiring(formatIsolateWiring(wiring));
        const table = compileIsolateTable(read, local);
        const { status, output } = inFreshNamespace(list, printTable(table));
        expect(status, output).to.equal(0);
        expect(differences(table, JSON.parse(output))).to.deep.equal([]);
      }),
      { numRuns: 15 },
    );
  });

  it('change by elements, whatever becomes of flows and policies', function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(arbitrary, arbitrary, (one, other) => {
        const before = compileIsolateTable(one, local);
        // The containers of a Pod and their UIDs are for life.
        const names = new Set(one.containers.map(({ name }) => name));
        const after = compileIsolateTable(
          {
            ...one,
            containers: one.containers.map((container, i) => ({
              ...container,
              podNetwork: other.containers[i]?.podNetwork ?? {},
            })),
            flows: other.flows.filter(({ from, to }) => names.has(from) && names.has(to)),
            via: one.containers.length < 2 ? [] : (other.via ?? []),
            auditedFlows: other.flows.filter(({ from, to }, i) => i % 2 === 0 && names.has(from) && names.has(to)),
          },
          local,
        );
        const text = changes(before, after) ?? expect.fail('another skeleton');
        const { status, output } = inFreshNamespace(list, printTable(before) + text);
        expect(status, output).to.equal(0);
        expect(differences(after, JSON.parse(output))).to.deep.equal([]);
      }),
      { numRuns: 15 },
    );
  });
});

function elementsOf(table: Table, name: string): readonly string[] {
  return table.sets.find((set) => set.name === name)?.elements ?? [];
}

function problemsOf(wiring: object): readonly string[] {
  try {
    parseIsolateWiring(JSON.stringify(wiring));
    return [];
  } catch (error) {
    if (error instanceof WiringError) return error.problems.map(({ path }) => path);
    throw error;
  }
}

const ports = fc.uniqueArray(
  fc.record({ port: fc.integer({ min: 1, max: 65535 }), protocol: fc.constantFrom('tcp', 'udp') }),
  { maxLength: 4, selector: ({ port, protocol }) => `${port} ${protocol}` },
);

/** Disjoint: each has a network of its own. */
const allowances = fc
  .array(
    fc.record({
      ipv6: fc.boolean(),
      size: fc.nat(255),
      protocol: fc.constantFrom(undefined, 'tcp', 'udp', 'sctp'),
      first: fc.nat(65535),
      length: fc.nat(65535),
    }),
    { maxLength: 5 },
  )
  .map((each) => each.map(allowed));

function allowed(
  one: { ipv6: boolean; size: number; protocol: 'tcp' | 'udp' | 'sctp' | undefined; first: number; length: number },
  n: number,
): Allowed {
  const { ipv6, size, protocol, first, length } = one;
  const addresses = ipv6
    ? `fd00:${n + 1}::-fd00:${n + 1}::${(size + 1).toString(16)}`
    : `10.0.${n}.0-10.0.${n}.${size}`;
  if (protocol === undefined) return { addresses };
  return {
    addresses,
    protocol,
    ...(length > 30_000 ? {} : { ports: { first, last: Math.min(65535, first + length) } }),
  };
}

const arbitrary: fc.Arbitrary<IsolateWiring> = fc
  .record({
    containers: fc.array(
      fc.record({
        ports,
        probes: fc.array(fc.integer({ min: 1, max: 65535 }), { maxLength: 3 }),
        in: allowances,
        out: allowances,
      }),
      { minLength: 1, maxLength: 6 },
    ),
    observed: fc.option(fc.nat(5), { nil: undefined }),
    via: fc.option(
      fc.record({
        port: fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined }),
        dns: fc.constantFrom('none', 'cluster', 'proxy'),
      }),
      { nil: undefined },
    ),
    flows: fc.array(fc.tuple(fc.nat(5), fc.nat(5), fc.integer({ min: 1, max: 65535 }), fc.boolean()), {
      maxLength: 20,
    }),
  })
  .map(({ containers, observed, via, flows }) => {
    const taken = new Set<string>();
    const names = containers.map((_container, i) => `c-${i}`);
    return {
      version: 1,
      mode: 'isolate',
      split: '0a1b2c3d4e',
      containers: containers.map((each, i) => ({
        name: `c-${i}`,
        uid: 64_000 + i,
        ports: each.ports.filter(({ port, protocol }) => {
          const isNew = !taken.has(`${port} ${protocol}`);
          taken.add(`${port} ${protocol}`);
          return isNew;
        }),
        probes: each.probes,
        podNetwork: {
          ...(i % 2 === 0 ? { ingress: { enforce: each.in } } : { ingress: { audit: each.in } }),
          egress: { enforce: each.out },
        },
      })),
      flows: flows
        .map(([from, to, port, isTcp]) => ({
          from: `c-${from % containers.length}`,
          to: `c-${to % containers.length}`,
          port,
          protocol: isTcp ? ('tcp' as const) : ('udp' as const),
        }))
        .filter(({ from, to }) => from !== to),
      // Of the first, by the second.
      ...(via === undefined || names.length < 2
        ? {}
        : {
            via: [
              {
                from: 'c-0',
                to: 'c-1',
                ...(via.port === undefined ? {} : { port: via.port }),
                dns: via.dns,
                resolvers: via.dns === 'cluster' ? ['10.0.0.0', 'fd00:1::'] : [],
              },
            ],
          }),
      ...(observed === undefined ? {} : { observe: { from: names.slice(0, observed), to: names.slice(observed) } }),
    };
  });
