// Every way between containers is tried: each listener by each container, at each address. What passes must be what the
// flows say, and no more; in one Pod all of it passes.

import { expect } from 'chai';
import { installModes, type InstallMode } from '../controller/api/install.ts';
import { agentProgram, agents, call, splitMode, workload, type Listener, type Target } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { denials } from './support/node.ts';
import { podIPs, type Pod } from './support/objects.ts';
import { addressesOf, isReady, peerAddresses, readySplitPods, splitPods, type SplitPod } from './support/pieces.ts';

/** Ports end with the number of the container: 1 app, 2 cache, 3 stats. The middle tells the bind address. */
function listenersOf(last: number): readonly Listener[] {
  const protocols = ['tcp', 'udp'] as const;
  return protocols.flatMap((protocol): readonly Listener[] => [
    { protocol, bind: '::', port: 7000 + last, declared: true },
    { protocol, bind: '127.0.0.1', port: 7010 + last, declared: true },
    { protocol, bind: '::1', port: 7020 + last, declared: true },
    { protocol, bind: '::', port: 7100 + last, declared: false },
    { protocol, bind: '127.0.0.1', port: 7110 + last, declared: false },
  ]);
}

const containers = { app: listenersOf(1), cache: listenersOf(2), stats: listenersOf(3) } as const;
type Container = keyof typeof containers;
const names = ['app', 'cache', 'stats'] as const;

/** One direction each, both protocols, every bind address; stats and cache have nothing to say to each other. */
const flows: readonly {
  readonly from: Container;
  readonly to: Container;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}[] = (['tcp', 'udp'] as const).flatMap((protocol) => [
  ...[7002, 7012, 7022].map((port) => ({ from: 'app' as const, to: 'cache' as const, port, protocol })),
  ...[7001, 7011].map((port) => ({ from: 'stats' as const, to: 'app' as const, port, protocol })),
]);
const flowsAnnotation = flows.map(({ from, to, port, protocol }) => `${from}->${to}:${port}/${protocol}`).join(', ');

const loopback = ['127.0.0.1', '::1'];

interface Try {
  readonly to: Container;
  readonly listener: Listener;
  readonly address: string;
}

function show(from: string, { to, listener: { protocol, bind, port }, address }: Try): string {
  return `${from} -> ${to} ${protocol} ${port} (bound to ${bind}) at ${address}`;
}

for (const install of installModes) {
  describe(`loopback between pieces, install mode ${install}`, () => {
    loopbackSuite(install);
  });
}

function loopbackSuite(install: InstallMode): void {
  let namespace: TestNamespace;
  let split: readonly SplitPod[];

  before(async () => {
    namespace = await TestNamespace.create(`loopback-${install}`);
    await namespace.apply(
      agentProgram,
      workload('Deployment', 'whole', agents(containers), { replicas: 1 }),
      workload('Deployment', 'split', agents(containers), {
        replicas: 2,
        annotations: { ...splitMode, 'podsplit.io/install': install, 'podsplit.io/flows': flowsAnnotation },
      }),
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'client' }, spec: agents({ client: [] }) },
    );
    split = await readySplitPods(namespace, 'split', 2, names);
    await namespace.kubectl(['rollout', 'status', 'deployment/whole', patience]);
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]);
  });

  after(() => TestNamespace.deleteAll());

  it('in one Pod: every listener is reached by every container, declared or not', async () => {
    const [whole] = await splitPods(namespace, 'whole');
    const addresses = [...loopback, ...podIPs(whole!.primary)];
    const tries = allTries(addresses);
    for (const from of names) {
      const answers = await answersTo(whole!.primary, from, tries);
      const failed = tries.filter((one, index) => answers[index] === undefined && listens(one.listener, one.address));
      expect(failed.map((one) => show(from, one))).to.deep.equal([]);
    }
  });

  for (const from of names) {
    it(`${from} reaches what its flows say, at 127.0.0.1 and at ::1, by TCP and UDP`, async () => {
      const tries = allTries(loopback).filter((one) => isFlow(from, one) && listens(one.listener, one.address));
      expect(tries).to.have.length({ app: 8, cache: 0, stats: 6 }[from]);
      for (const { pieces } of split) {
        await eventually(`${from} reaches its peers`, async () => {
          const answers = await answersTo(pieces.get(from)!, from, tries);
          expect(tries.filter((_, index) => answers[index] === undefined).map((one) => show(from, one))).to.deep.equal(
            [],
          );
          // Who listens on 127.0.0.1 has known only callers from there, and may count on it.
          for (const [index, { to, listener, address }] of tries.entries()) {
            const peer = listener.bind === '::' ? answers[index]?.split(' ')[1] : address;
            expect(answers[index]).to.equal(`${to} ${peer ?? ''}`);
          }
        });
      }
    });

    it(`${from} reaches nothing else of its peers, by any address`, async () => {
      for (const [index, { pieces }] of split.entries()) {
        const others = split[1 - index]!;
        const everywhere = [...new Set([...pieces.values(), ...others.pieces.values()].flatMap(addressesOf))];
        const tries = allTries([...loopback, ...everywhere]).filter((one) => one.to !== from && !isFlow(from, one));
        const tried = tries.filter((one) => !reachesOtherReplica(from, one, pieces, others));
        const answers = await answersTo(pieces.get(from)!, from, tried);
        const open = tried.filter((_, at) => answers[at] !== undefined);
        expect(open.map((one) => show(from, one))).to.deep.equal([]);
      }
    });

    it(`${from} still reaches itself`, async () => {
      const tries = allTries(loopback).filter((one) => one.to === from && listens(one.listener, one.address));
      const answers = await answersTo(split[0]!.pieces.get(from)!, from, tries);
      expect(tries.filter((_, index) => answers[index] === undefined).map((one) => show(from, one))).to.deep.equal([]);
    });
  }

  it('counts what a piece tried in vain, by both protocols and families', async () => {
    const tried = await denials(split[0]!.pieces.get('stats')!);
    const cache = split[0]!.pieces.get('cache')!;
    for (const address of peerAddresses(cache)) {
      for (const protocol of ['tcp', 'udp']) {
        const counted = tried.filter((one) => one.to === address && one.protocol === protocol && one.packets > 0);
        expect(counted, `${protocol} to ${address}`).not.to.be.empty;
      }
    }
  });

  it("serves siblings' declared ports at the Pod's address, to clients with their own addresses", async () => {
    const client = await namespace.get<Pod>('pods', 'client');
    for (const { primary } of split) {
      const tries = allTries(podIPs(primary)).filter(({ listener }) => listener.declared && listener.bind === '::');
      await eventually('the facade', async () => {
        const answers = await answersTo(client, 'client', tries);
        for (const [index, { to, address, listener }] of tries.entries()) {
          const own = podIPs(client).find((ip) => ip.includes(':') === address.includes(':'));
          expect(answers[index], show('client', { to, address, listener })).to.equal(`${to} ${own ?? ''}`);
        }
      });
    }
  });

  it('offers clients nothing else of the siblings, and nothing of the peer network', async () => {
    const client = await namespace.get<Pod>('pods', 'client');
    const tries = split.flatMap(({ primary, pieces }) => {
      const facade = podIPs(primary);
      const elsewhere = [...pieces.values()].flatMap(addressesOf).filter((address) => !facade.includes(address));
      return [
        // The primary's own ports are an ordinary Pod's.
        ...allTries(facade).filter(
          ({ to, listener }) => to !== 'app' && !(listener.declared && listener.bind === '::'),
        ),
        ...allTries(elsewhere),
      ];
    });
    const answers = await answersTo(client, 'client', tries);
    expect(tries.filter((_, index) => answers[index] !== undefined).map((one) => show('client', one))).to.deep.equal(
      [],
    );
  });

  it('leaves every piece ready, and no address doubled', async () => {
    const pods = await namespace.list<Pod>('pods');
    expect(pods.filter((pod) => !isReady(pod)).map(({ metadata }) => metadata.name)).to.deep.equal([]);
    await invariantsHold();
  });

  function answersTo(pod: Pod, container: string, tries: readonly Try[]) {
    const targets = tries.map(({ listener, address }): Target => [listener.protocol, address, listener.port]);
    return call(namespace, pod.metadata.name, container, targets);
  }
}

function allTries(addresses: readonly string[]): readonly Try[] {
  return names.flatMap((to) =>
    containers[to].flatMap((listener) => addresses.map((address) => ({ to, listener, address }))),
  );
}

function listens({ bind }: Listener, address: string): boolean {
  return bind === '::' || bind === address;
}

function isFlow(from: string, { to, listener }: Try): boolean {
  return flows.some(
    (flow) =>
      flow.from === from && flow.to === to && flow.port === listener.port && flow.protocol === listener.protocol,
  );
}

/** Another replica is another Pod: its facade is open to everybody, as its Service is. */
function reachesOtherReplica(
  from: string,
  { address, listener, to }: Try,
  own: ReadonlyMap<string, Pod>,
  other: SplitPod,
): boolean {
  if (!podIPs(other.primary).includes(address)) return false;
  return to === 'app' || (listener.declared && own.has(from));
}
