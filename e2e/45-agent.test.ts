// The node agent is restarted, killed, held up and upgraded, sandboxes and the runtime end under it, somebody edits its
// rules: what runs goes on, what starts is held back or right, and nothing is left over.

import { expect } from 'chai';
import type { Sandbox } from '../controller/agent/sandbox.ts';
import { bridgeNamePrefix, ownLabels } from '../controller/api/names.ts';
import { clone } from '../hack/cluster/paths.ts';
import { runNode } from '../hack/demo/command.ts';
import { listAll } from './support/api.ts';
import { call, splitMode, workload } from './support/agents.ts';
import { controllerIsUp } from './support/controller.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { inNetns, onNode } from './support/node.ts';
import {
  devices,
  hostTableOf,
  hostTables,
  nothingStray,
  restartAgent,
  rolloutAgents,
  sandboxes,
  sandboxOf,
  signalAgent,
  tablesWithHandles,
  wrongTables,
} from './support/node-agent.ts';
import { condition, podIPs, type Event, type Pod } from './support/objects.ts';
import { eventOf, isReady, peerAddresses, readySplitPods, splitPods, type SplitPod } from './support/pieces.ts';
import { echoes, streamProgram, streams } from './support/streams.ts';

const containers = ['app', 'helper'] as const;
const spec = echoes({ app: ['tcp:7100'], helper: ['tcp:7001', 'tcp:7002', 'udp:7003', 'tcp:7004', 'udp:7005'] });
const flows = 'app->helper:7001/tcp, app->helper:7002/tcp, app->helper:7003/udp';
const kept = { tcp: 'tcp:127.0.0.1:7002', tcp6: 'tcp:::1:7002', udp: 'udp:127.0.0.1:7003' } as const;

describe('the node agent', () => {
  let namespace: TestNamespace;
  let node: string;
  let web: SplitPod;
  let idleBridge: string;

  before(async () => {
    namespace = await TestNamespace.create('agent', {
      // The strictest there is: the agent needs nothing of the Pod.
      'pod-security.kubernetes.io/enforce': 'restricted',
    });
    const nodes = await listAll<Pod>('nodes');
    node = nodes[0]!.metadata.name;
    await namespace.apply(streamProgram, deployment('web'), deployment('brief'), deployment('whole', {}));
    [web] = (await readySplitPods(namespace, 'web', 1, containers)) as [SplitPod];
    await namespace.kubectl(['rollout', 'status', 'deployment/whole', patience]);
    await works(web);
  });

  after(() => TestNamespace.deleteAll());

  it('leaves nothing on the node of a Pod that was deleted', async () => {
    const [brief] = await readySplitPods(namespace, 'brief', 1, containers);
    const gone = await Promise.all([...brief!.pieces.values()].map(sandboxOf));
    idleBridge = `${bridgeNamePrefix}${brief!.primary.metadata.labels?.[ownLabels.workload] ?? ''}`;
    expect(await devices(node)).to.include.members([...gone.map(({ host }) => host.net1), idleBridge]);
    expect(await hostTables(node)).to.include.members(gone.map(hostTableOf));
    await namespace.kubectl(['delete', 'deployment', 'brief', '--wait=false']);
    await nothingLeftOf(gone);
  });

  it('is replaced while its pieces talk, and nothing of that is lost', async () => {
    const before = await Promise.all([...web.pieces.values()].map(tablesWithHandles));
    const talking = streams(namespace, web.primary.metadata.name, 'app', kept);
    await restartAgent(node);
    await expectNothingLost(talking);
    expect(await Promise.all([...web.pieces.values()].map(tablesWithHandles))).to.deep.equal(before);
    expect(await repairs()).to.deep.equal([]);
  });

  it('mends what was changed while it was away, and says so on the Pod', async () => {
    const [app, helper] = [web.pieces.get('app')!, web.pieces.get('helper')!];
    await inNetns(helper, ['nft', 'delete', 'table', 'inet', 'podsplit']);
    await onNode(node, ['nft', 'delete', 'table', 'netdev', hostTableOf(await sandboxOf(helper))]);
    await inNetns(app, ['nft', 'add', 'element', 'inet', 'podsplit', 'in4', openTo(app, helper)]);
    expect(await wrongTables(node, namespace.name)).to.have.length.above(2);
    await restartAgent(node);
    expect(await wrongTables(node, namespace.name)).to.deep.equal([]);
    for (const pod of [app, helper]) await eventOf(namespace, 'RulesRepaired', 'Pod', pod.metadata.name);
    await works(web);
  });

  it('follows flows that change, at once, and leaves the others alone', async () => {
    const { name } = web.primary.metadata;
    const removed = 'tcp:127.0.0.1:7001';
    const later = 'udp:127.0.0.1:7005';
    const talking = streams(namespace, name, 'app', { ...kept, removed, later });
    await eventually('they talk', async () => {
      // Connections of streams.py to the helper, as the helper sees them.
      const open = await inNetns(web.pieces.get('helper')!, [
        'ss',
        '-Htn',
        'state',
        'established',
        'sport',
        '=',
        ':7001',
      ]);
      expect(open.trim()).not.to.equal('');
    });
    const wanted = flows.replace('7001/tcp', '7004/tcp').concat(', app->helper:7005/udp');
    await namespace.kubectl(['annotate', 'pod', name, `podsplit.io/flows=${wanted}`, '--overwrite']);
    await eventually('the tables follow', async () => {
      const { app, helper } = Object.fromEntries(web.pieces);
      const tables = [
        await inNetns(app!, ['nft', 'list', 'map', 'inet', 'podsplit', 'redirect4']),
        await inNetns(helper!, ['nft', 'list', 'set', 'inet', 'podsplit', 'served4']),
      ];
      for (const table of tables) expect(table).to.contain('7004').and.contain('7005').and.not.contain('7001');
    });
    await eventually('what was added works', async () => {
      expect(await answers(['tcp', '127.0.0.1', 7004], ['udp', '::1', 7005])).to.not.include(undefined);
    });
    const result = await talking.stop();
    for (const each of ['tcp', 'tcp6', 'udp'] as const) {
      expect(result[each], each).to.include({ error: null, sent: result[each].answered });
      expect(result[each].sent).to.be.above(50);
    }
    expect(result.removed.error).to.be.a('string');
    expect(result.removed.answered).to.be.above(0);
    expect(result.later.answered, 'a flow that sent before it was allowed').to.be.above(0).and.below(result.later.sent);
    expect(await answers(['tcp', '127.0.0.1', 7001])).to.deep.equal([undefined]);
  });

  describe('when a sandbox is made anew', () => {
    for (const container of ['helper', 'app'] as const) {
      it(`of the ${container === 'app' ? 'primary' : 'sibling'}: same Pod, same net1, another Pod IP that all know`, async () => {
        const before = new Map(web.pieces);
        const { metadata } = web.pieces.get(container)!;
        const { id } = await sandboxOf(web.pieces.get(container)!);
        await onNode(node, ['ctr', '-n', 'k8s.io', 'tasks', 'kill', '-s', 'SIGKILL', id]);
        await eventually('it has another sandbox and is ready', async () => {
          const now = await namespace.get<Pod>('pods', metadata.name);
          expect(podIPs(now)).not.to.deep.equal(podIPs(before.get(container)!));
          expect(isReady(now)).to.equal(true);
        });
        [web] = (await readySplitPods(namespace, 'web', 1, containers)) as [SplitPod];
        for (const [name, pod] of web.pieces) {
          expect(pod.metadata.uid, name).to.equal(before.get(name)?.metadata.uid);
          expect(peerAddresses(pod)).to.deep.equal(peerAddresses(before.get(name)!));
        }
        await eventually('loopback works again', async () => {
          expect(
            await answers(['tcp', '127.0.0.1', 7002], ['tcp', '::1', 7002], ['udp', '127.0.0.1', 7003]),
          ).to.not.include(undefined);
        });
      });
    }

    it('the new Pod IP opens nothing, also where the own rules of who uses it are gone', async () => {
      const attack = (target: Pod) => podIPs(target).map((address) => ['tcp', address, 7100] as const);
      const [whole] = await splitPods(namespace, 'whole');
      const inOnePod = await call(namespace, whole!.primary.metadata.name, 'helper', attack(whole!.primary));
      expect(inOnePod).to.not.include(undefined);

      const helper = web.pieces.get('helper')!;
      const sandbox = await sandboxOf(helper);
      await inNetns(helper, ['nft', 'delete', 'table', 'inet', 'podsplit']);
      await onNode(node, ['nft', 'delete', 'table', 'netdev', hostTableOf(sandbox)]);
      const { name } = helper.metadata;
      expect(await call(namespace, name, 'helper', attack(whole!.primary))).to.not.include(undefined);
      const refused = await call(namespace, name, 'helper', attack(web.primary));
      expect(refused).to.deep.equal(podIPs(web.primary).map(() => undefined));
      await restartAgent(node);
      expect(await wrongTables(node, namespace.name)).to.deep.equal([]);
    });
  });

  it('and the container runtime is killed: what runs goes on, what is new starts', async () => {
    const talking = streams(namespace, web.primary.metadata.name, 'app', { tcp: kept.tcp, udp: kept.udp });
    const [pid] = (await onNode(node, ['pgrep', '-x', 'containerd'])).trim().split('\n');
    await onNode(node, ['kill', '-KILL', pid!]);
    await eventually('the runtime is back', () => onNode(node, ['ctr', 'version']), 20_000);
    await namespace.apply(deployment('after'));
    const [after] = await readySplitPods(namespace, 'after', 1, containers);
    await works(after!);
    // The stream ran over a connection to containerd, which ended with it.
    await talking.stop().catch(() => undefined);
    [web] = (await readySplitPods(namespace, 'web', 1, containers)) as [SplitPod];
    await works(web, [7004, 7001]);
    await namespace.kubectl(['delete', 'deployment', 'after', '--wait=false']);
  });

  it('does not answer: the Pod waits and says why, and starts when it does, with nothing left of the first tries', async () => {
    await signalAgent(node, 'STOP');
    try {
      await namespace.apply(deployment('late'));
      await eventually('the plugin gives up', async () => {
        const events = await namespace.list<Event>('events');
        const why = events.filter(({ reason }) => reason === 'FailedCreatePodSandBox').map(({ message }) => message);
        expect(why.join()).to.contain('no reply within 30s');
      });
    } finally {
      await signalAgent(node, 'CONT').catch(() => undefined);
    }
    const [late] = await readySplitPods(namespace, 'late', 1, containers);
    await works(late!);
    await nothingStray(node);
    expect(await wrongTables(node, namespace.name)).to.deep.equal([]);
  });

  it('is away while a Pod ends: what that leaves goes when it is back', async () => {
    const [late] = await readySplitPods(namespace, 'late', 1, containers);
    const gone = await Promise.all([...late!.pieces.values()].map(sandboxOf));
    await signalAgent(node, 'STOP');
    await onNode(node, ['rm', '/run/podsplit/agent.sock']);
    try {
      await namespace.kubectl(['delete', 'deployment', 'late', '--wait=false']);
      await eventually('the Pods are gone', async () => {
        expect(await splitPods(namespace, 'late')).to.deep.equal([]);
        const names = (await namespace.list<Pod>('pods')).map(({ metadata }) => metadata.name);
        expect(names).to.not.include.members(gone.map(({ pod }) => pod.name));
      });
      const files = (await sandboxes(node)).map(({ id }) => id);
      expect(files).to.include.members(gone.map(({ id }) => id));
    } finally {
      await signalAgent(node, 'KILL');
    }
    await nothingLeftOf(gone);
  });

  it('is upgraded while fifty Pods start: all are ready, each with its rules', async () => {
    await namespace.apply(deployment('many', { ...splitMode, 'podsplit.io/flows': flows }, 25));
    await eventually('some have begun', async () => {
      const own = (await sandboxes(node)).filter(({ pod }) => pod.namespace === namespace.name);
      expect(own).to.have.length.above(4);
    });
    await rolloutAgents();
    await eventually('all are ready', () => readySplitPods(namespace, 'many', 25, containers), 180_000);
    const nodes = await listAll<Pod>('nodes');
    for (const { metadata } of nodes) expect(await wrongTables(metadata.name, namespace.name)).to.deep.equal([]);
    await invariantsHold();
    await namespace.kubectl(['delete', 'deployment', 'many', '--wait=false']);
  });

  it('removes a bridge that nothing is attached to any more', async () => {
    await eventually(
      'the bridge is gone',
      async () => {
        expect(await devices(node)).to.not.include(idleBridge);
      },
      150_000,
    );
  });

  // The last, since it takes everything off a node.
  it('its node boots: the same Pods come back, each with its rules', async () => {
    const nodes = await listAll<Pod>('nodes');
    const last = nodes.at(-1)!.metadata.name;
    await namespace.apply(deployment('booted', { ...splitMode, 'podsplit.io/flows': flows }, 1, last));
    const [before] = await readySplitPods(namespace, 'booted', 1, containers);
    const { status, output } = await runNode([`${clone}/hack/cluster/node.ts`, 'restart', last]);
    expect(status, output).to.equal(0);
    await eventually(
      'the kubelet is back, and has made the sandboxes anew',
      async () => {
        for (const pod of before!.pieces.values()) {
          const now = await namespace.get<Pod>('pods', pod.metadata.name);
          expect(podIPs(now)).not.to.deep.equal(podIPs(pod));
        }
        const [state] = (await listAll<Pod>('nodes')).filter(({ metadata }) => metadata.name === last);
        expect(condition(state!, 'Ready')?.status).to.equal('True');
      },
      240_000,
    );
    const [booted] = await readySplitPods(namespace, 'booted', 1, containers);
    expect(booted!.primary.metadata.uid).to.equal(before!.primary.metadata.uid);
    await works(booted!);
    expect(await wrongTables(last, namespace.name)).to.deep.equal([]);
    await nothingStray(last);
    await controllerIsUp();
    await invariantsHold();
  });

  function deployment(
    name: string,
    annotations: Readonly<Record<string, string>> = { ...splitMode, 'podsplit.io/flows': flows },
    replicas = 1,
    where = replicas === 1 ? node : undefined,
  ) {
    const nodeSelector = where === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': where } };
    return workload('Deployment', name, { ...spec, ...nodeSelector }, { replicas, annotations });
  }

  function answers(...targets: Parameters<typeof call>[3]) {
    return call(namespace, web.primary.metadata.name, 'app', targets);
  }

  /** One port of the helper is a flow, the other is not. */
  async function works({ primary }: SplitPod, [open, shut] = [7001, 7004]): Promise<void> {
    await eventually(`${primary.metadata.name} reaches its helper, and nothing else of it`, async () => {
      const found = await call(namespace, primary.metadata.name, 'app', [
        ['tcp', '127.0.0.1', open],
        ['udp', '::1', 7003],
        ['tcp', '127.0.0.1', 7100],
      ]);
      expect(found).to.not.include(undefined);
    });
    const helper = [...(await splitPods(namespace, primary.metadata.labels!['app']!))]
      .flatMap(({ pieces }) => [...pieces])
      .filter(([name]) => name === 'helper')
      .map(([, pod]) => pod);
    const closed = helper.flatMap((pod) => [...podIPs(pod), ...peerAddresses(pod)]);
    const reached = await call(
      namespace,
      primary.metadata.name,
      'app',
      closed.map((address) => ['tcp', address, shut] as const),
    );
    expect(reached).to.deep.equal(closed.map(() => undefined));
  }

  async function expectNothingLost(talking: ReturnType<typeof streams>): Promise<void> {
    for (const [name, { sent, answered, error }] of Object.entries(await talking.stop())) {
      expect({ answered, error }, name).to.deep.equal({ answered: sent, error: null });
      expect(sent).to.be.above(50);
    }
  }

  async function repairs(): Promise<readonly string[]> {
    const events = await namespace.list<Event>('events');
    return events.filter(({ reason }) => reason === 'RulesRepaired').map(({ message }) => message);
  }

  async function nothingLeftOf(gone: readonly Sandbox[]): Promise<void> {
    await eventually('nothing is left', async () => {
      const left = [
        ...(await sandboxes(node)).filter(({ id }) => gone.some((sandbox) => sandbox.id === id)).map(({ id }) => id),
        ...(await hostTables(node)).filter((name) => gone.map(hostTableOf).includes(name)),
        ...(await devices(node)).filter((name) =>
          gone.some(({ host }) => [host.net1, host.eth0?.device].includes(name)),
        ),
      ];
      expect(left).to.deep.equal([]);
    });
  }
});

/** An element of the set of flows to a piece, which no flow says. */
function openTo(app: Pod, helper: Pod): string {
  const peer = peerAddresses(helper).find((address) => address.includes('.'));
  expect(app.metadata.uid).to.not.equal(helper.metadata.uid);
  return `{ ${peer ?? ''} . tcp . 7100 }`;
}
