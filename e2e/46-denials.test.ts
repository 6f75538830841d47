// Who was denied what: told where users and monitoring look, and told no more often however much is tried.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { FlowsReport } from '../controller/cli/flows-report.ts';
import { connect } from '../controller/kube/connect.ts';
import { resources } from '../controller/kube/resources.ts';
import type { Denial } from '../controller/api/resources.ts';
import { kubeconfig } from '../hack/kubectl.ts';
import { listAll } from './support/api.ts';
import { agentProgram, agents, barePod, call, splitMode, workload, type Target } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { denials } from './support/node.ts';
import { podIPs, type Event, type KubeObject, type Pod } from './support/objects.ts';
import { isReady, peerAddresses, podSplitOf, readySplitPods, type SplitPod } from './support/pieces.ts';

const run = promisify(execFile);
const plugin = join(import.meta.dirname, '../bin/kubectl-podsplit');

const containers = agents({
  app: [
    { protocol: 'tcp', bind: '::', port: 7001, declared: true },
    { protocol: 'tcp', bind: '::', port: 7003, declared: false },
    { protocol: 'udp', bind: '::', port: 7003, declared: false },
  ],
  sidecar: [
    { protocol: 'tcp', bind: '127.0.0.1', port: 7002, declared: true },
    { protocol: 'tcp', bind: '::', port: 7004, declared: false },
  ],
});

const protocols = ['tcp', 'udp'] as const;
const closedPort = 7003;
/** PODSPLIT_DENIALS_SECONDS in templates/30-agent.yaml, which leaves it at its default. */
const roundMs = 15_000;
const maxRows = 64;
const maxElements = 256;

function targets(addresses: readonly string[]): readonly Target[] {
  return addresses.flatMap((address) => protocols.map((protocol): Target => [protocol, address, closedPort]));
}

interface Node extends KubeObject {
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

describe('what was denied', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let app: Pod;
  let sidecar: Pod;

  before(async () => {
    namespace = await TestNamespace.create('denials');
    await namespace.apply(
      agentProgram,
      workload('Deployment', 'web', containers, {
        replicas: 1,
        annotations: { ...splitMode, 'podsplit.io/install': 'node', 'podsplit.io/primary': 'app' },
      }),
      barePod('whole', containers),
    );
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'sidecar'])) as [SplitPod];
    app = split.pieces.get('app')!;
    sidecar = split.pieces.get('sidecar')!;
    await eventually('the whole Pod is ready', async () => {
      expect(isReady(await namespace.get<Pod>('pods', 'whole'))).to.equal(true);
    });
  });

  after(() => TestNamespace.deleteAll());

  it('in one Pod all of it succeeds', async () => {
    const whole = await namespace.get<Pod>('pods', 'whole');
    const all = targets(['127.0.0.1', '::1', ...podIPs(whole)]);
    const answers = await call(namespace, 'whole', 'sidecar', all);
    expect(answers.map((answer) => answer?.split(' ')[0])).to.deep.equal(all.map(() => 'app'));
  });

  it('is in the PodSplit, the command and the metrics within half a minute, by name', async () => {
    const counted = await deniedPackets('denied_out');
    const tried = targets([...peerAddresses(app), ...podIPs(app)]);
    expect(tried).to.have.length(8);
    const answers = await call(namespace, sidecar.metadata.name, 'sidecar', tried);
    expect(answers).to.deep.equal(answers.map(() => undefined));

    await eventually(
      'each attempt is told',
      async () => {
        const rows = (await denied()).filter(({ from, port }) => from === 'sidecar' && port === closedPort);
        const told = rows.map(({ to, address, protocol, network }) => `${to} ${address} ${protocol} ${network}`);
        const expected = tried.map(([protocol, address]) => {
          const network = peerAddresses(app).includes(address) ? 'peer' : 'pod';
          return `app ${address} ${protocol} ${network}`;
        });
        expect(told.sort()).to.deep.equal(expected.sort());
        for (const { packets, seenBy } of rows) {
          expect(packets).to.be.greaterThan(0);
          expect(seenBy).to.equal('sidecar');
        }
      },
      2 * roundMs,
    );
    // By whichever piece one asks.
    for (const pod of [app, sidecar]) {
      const report = JSON.parse(await flows(pod, '-o', 'json')) as FlowsReport;
      expect(report.denied).to.deep.equal(await denied());
      expect(report.flows).to.deep.equal([
        { from: 'app', to: 'sidecar', port: 7002, protocol: 'tcp' },
        { from: 'sidecar', to: 'app', port: 7001, protocol: 'tcp' },
      ]);
    }
    const [peer = ''] = peerAddresses(app);
    expect(await flows(sidecar)).to.match(
      new RegExp(`^sidecar +app +${peer} +${closedPort}/tcp +peer +\\d+ +\\d+s$`, 'm'),
    );
    expect(await deniedPackets('denied_out')).to.be.at.least(counted + tried.length);
  });

  it('tells what a container called at its own loopback, of nobody, with what to declare', async () => {
    const counted = await deniedPackets('refused_loopback');
    const tried = targets(['127.0.0.1', '::1', ...podIPs(sidecar)]);
    expect(tried).to.have.length(8);
    // Of the two that it may call, one is open; it declares 7002, so nothing of others is missing there.
    const allowed: readonly Target[] = [
      ['tcp', '127.0.0.1', 7001],
      ['tcp', '::1', 7002],
    ];
    const answers = await call(namespace, sidecar.metadata.name, 'sidecar', [...tried, ...allowed]);
    const servers = answers.map((answer) => answer?.split(' ')[0]);
    expect(servers).to.deep.equal([...tried.map(() => undefined), 'app', undefined]);

    await eventually(
      'each call is told',
      async () => {
        const rows = (await denied()).filter(({ network }) => network === 'loopback');
        const told = rows.map(
          ({ from, to, address, port, protocol }) => `${from} ${to} ${address} ${port} ${protocol}`,
        );
        const expected = tried.map(([protocol, address, port]) => `sidecar ${address} ${address} ${port} ${protocol}`);
        expect(told.sort()).to.deep.equal(expected.sort());
        expect(new Set(rows.map(({ seenBy }) => seenBy))).to.deep.equal(new Set(['sidecar']));
      },
      2 * roundMs,
    );
    expect(await deniedPackets('refused_loopback')).to.be.at.least(counted + tried.length);
    const text = await flows(app);
    expect(text).to.match(new RegExp(`^sidecar +::1 +::1 +${closedPort}/tcp +loopback +\\d+ +\\d+s$`, 'm'));
    expect(text).to.contain(`\n  sidecar at ${closedPort}/tcp\n`).and.to.contain(`containerPort: ${closedPort}`);
    const kinds = (await denied()).length;
    const status = await podsplit('status', app);
    expect(status).to.match(new RegExp(`^Denied +\\d+ packets of ${kinds} kinds in the last hour`, 'm'));
  });

  it('names a stranger by its address, whom the policies of the namespace let in', async () => {
    await namespace.apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'everybody' },
      spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] },
    });
    const whole = await namespace.get<Pod>('pods', 'whole');
    const [address = ''] = podIPs(sidecar);
    const counted = await deniedPackets('denied_eth0');
    const control = await call(namespace, app.metadata.name, 'app', [['tcp', podIPs(whole)[0]!, 7004]]);
    expect(control[0]?.split(' ')[0]).to.equal('sidecar');
    await eventually(
      'the attempt is told',
      async () => {
        // Again, since the CNI applies policies some time later.
        expect(await call(namespace, 'whole', 'app', [['tcp', address, 7004]])).to.deep.equal([undefined]);
        const found = (await denied()).find(({ port }) => port === 7004);
        const { from, to, network, seenBy } = found ?? {};
        expect({ from, to, network, seenBy }).to.deep.equal({
          from: podIPs(whole)[0],
          to: 'sidecar',
          network: 'pod',
          seenBy: 'sidecar',
        });
      },
      3 * roundMs,
    );
    expect(await deniedPackets('denied_eth0')).to.be.greaterThan(counted);
  });

  it('floods nothing: 20,000 ports are 64 rows, written once a round, without an Event', async () => {
    const podSplit = await podSplitOf(namespace, split.primary);
    const events = (await agentEvents()).length;
    const [peer = ''] = peerAddresses(app);
    const watchMs = 3 * roundMs;
    const changes = watchChanges(podSplit.metadata.name, watchMs);
    const sent = await namespace.exec(sidecar.metadata.name, 'sidecar', ['python3', '-c', flood, peer]);
    expect(JSON.parse(sent.stdout)).to.deep.equal({ ports: 20_000 });

    // As many as the agent has not carried away yet: it empties what is full.
    expect((await denials(sidecar)).length).to.be.at.most(2 * maxElements);
    const rows = await eventually('the flood is told', async () => {
      const found = await denied();
      expect(found.filter(({ port }) => port >= 20_000)).to.have.length(maxRows);
      return found;
    });
    expect(rows.map(({ from, to }) => `${from}->${to}`)).to.deep.equal(rows.map(() => 'sidecar->app'));
    const times = rows.map(({ lastSeen }) => lastSeen);
    expect(times).to.deep.equal([...times].sort().reverse());

    // The rounds that begin while it is watched, and the one that was under way.
    const told = await changes;
    expect(told).to.be.at.least(1);
    expect(told).to.be.at.most(watchMs / roundMs + 1);
    expect(await agentEvents()).to.have.length(events);
    // With no room for a note a packet is dropped all the same, and what is allowed passes.
    const closed = targets(peerAddresses(app));
    expect(await call(namespace, sidecar.metadata.name, 'sidecar', closed)).to.deep.equal(closed.map(() => undefined));
    const allowed = await call(namespace, app.metadata.name, 'app', [['tcp', '127.0.0.1', 7002]]);
    expect(allowed).to.deep.equal(['sidecar 127.0.0.1']);
  });

  async function denied(): Promise<readonly Denial[]> {
    const { status } = await podSplitOf(namespace, split.primary);
    return status?.denied ?? [];
  }

  function flows(pod: Pod, ...more: readonly string[]): Promise<string> {
    return podsplit('flows', pod, ...more);
  }

  async function podsplit(command: string, pod: Pod, ...more: readonly string[]): Promise<string> {
    const args = [command, pod.metadata.name, '-n', namespace.name, '--kubeconfig', kubeconfig, ...more];
    const { stdout } = await run(plugin, args);
    return stdout;
  }

  /** Of the agent that has the Pod, as Prometheus would read it: the test's machine reaches the nodes. */
  async function deniedPackets(counter: string): Promise<number> {
    const [node] = (await listAll<Node>('nodes')).filter(({ metadata }) => metadata.name === app.spec.nodeName);
    const address = node!.status.addresses.find(({ type }) => type === 'InternalIP')!.address;
    const answer = await fetch(`http://${address.includes(':') ? `[${address}]` : address}:9471/metrics`);
    const line = new RegExp(`^podsplit_agent_denied_packets_total\\{counter="${counter}"\\} (\\d+)$`, 'm');
    return Number(line.exec(await answer.text())?.[1] ?? 0);
  }

  /** How often the PodSplit is written in that time. */
  async function watchChanges(name: string, forMs: number): Promise<number> {
    const client = connect({ kubeconfig });
    const { resourceVersion } = await client.list(resources.podSplits, { namespace: namespace.name });
    let changes = 0;
    const watched = client.watch(resources.podSplits, {
      namespace: namespace.name,
      fieldSelector: `metadata.name=${name}`,
      resourceVersion,
      timeoutSeconds: forMs / 1000,
    });
    for await (const event of watched) if (event.type === 'MODIFIED') changes += 1;
    client.close();
    return changes;
  }

  async function agentEvents(): Promise<readonly Event[]> {
    const events = await namespace.list<Event & { readonly source?: { readonly component?: string } }>('events');
    return events.filter(({ source }) => source?.component === 'podsplit-agent');
  }
});

/** Datagrams to 20,000 ports, no faster than the tables take notes, so that they have to give up for want of room. */
const flood = `
import json, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ports = range(20000, 40000)
for port in ports:
    try:
        sock.sendto(b'?', (sys.argv[1], port))
    except PermissionError:
        pass
    if port % 100 == 0:
        time.sleep(0.1)
print(json.dumps({'ports': len(ports)}))
`;
