// The NetworkPolicy that podsplit brings for its controller, rendered as users get it, under an engine that enforces: what it
// closes was open before, and podsplit works on, also a controller that starts behind it.

import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { manifestStream, renderManifests } from '../controller/manifests/render.ts';
import { defaultValues, mergeValues, type Values } from '../controller/manifests/values.ts';
import { startKubectl } from '../hack/demo/command.ts';
import { documents, packageVersion } from '../hack/manifests.ts';
import { listAll } from './support/api.ts';
import { agentProgram, agents, barePod, pair, splitMode, workload, type Target } from './support/agents.ts';
import { controllerIsUp, controllerPods, leader } from './support/controller.ts';
import { dial, nameOf } from './support/dial.ts';
import { eventually } from './support/eventually.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import { condition, podIPs, type KubeObject, type Pod } from './support/objects.ts';
import { isReady, readySplitPods } from './support/pieces.ts';

const system = ['-n', 'podsplit-system'];
const [webhook, metrics, health] = [9443, 8080, 8081];
const listening = [webhook, metrics, health];
const containers = ['app', 'helper'];

/** What the outside serves: ports that are nobody's, and one that API servers have. */
const outside = [
  { protocol: 'tcp', bind: '::', port: 7001, declared: true },
  { protocol: 'udp', bind: '::', port: 7001, declared: true },
  { protocol: 'tcp', bind: '::', port: 6443, declared: true },
] as const;

describe("podsplit's own NetworkPolicy", () => {
  let namespace: TestNamespace;
  let atFirst: readonly Pod[];

  before(async () => {
    expect(await policies(), 'policies that are there already').to.deep.equal([]);
    namespace = await TestNamespace.create('own-policy');
    const prometheus = barePod('prometheus', agents({ prometheus: [] }));
    await namespace.apply(
      agentProgram,
      barePod('attacker', agents({ attacker: [] })),
      { ...prometheus, metadata: { ...prometheus.metadata, labels: { 'app.kubernetes.io/name': 'prometheus' } } },
      barePod('outside', agents({ outside })),
    );
    await eventually('our Pods are ready', async () => {
      expect((await namespace.list<Pod>('pods')).filter(isReady)).to.have.length(3);
    });
    atFirst = await controllerPods();
  });

  after(async () => {
    await takeAway();
    await controllerIsUp();
    await TestNamespace.deleteAll();
  });

  describe('without it', () => {
    it('everybody reaches all that the controller listens on, and reads its metrics', async () => {
      await reachesController('attacker', listening);
      expect(await readsMetrics('attacker')).to.contain('podsplit_leader');
    });

    it('the controller reaches whomever it likes', () => controllerReaches(outside));
  });

  describe('as it comes', () => {
    before(() => apply({}));

    it('metrics and health are closed, and the webhook is not', () => reachesController('attacker', [webhook]));

    it('metrics are closed to Prometheus too', () => reachesController('prometheus', [webhook]));

    it('the controller reaches the ports that API servers have, and no others', () => {
      return controllerReaches(outside.filter(({ port }) => port === 6443));
    });

    it('the webhook refuses what is wrong', webhookRefuses);

    it('a Deployment is split', async () => {
      const annotations = splitMode;
      await namespace.apply(workload('Deployment', 'web', pair, { replicas: 1, annotations }));
      await readySplitPods(namespace, 'web', 1, containers);
    });

    it('probes hold: no controller was restarted, or was not Ready meanwhile', async () => {
      expect((await controllerPods()).map(stateOf)).to.deep.equal(atFirst.map(stateOf));
    });
  });

  describe('with the values of docs/operations.md', () => {
    before(async () => apply(await documentedValues(namespace.name)));

    it('metrics are read by the Pods that are named, in the namespace that is named, and by no others', async () => {
      await reachesController('prometheus', [webhook, metrics]);
      expect(await readsMetrics('prometheus')).to.contain('podsplit_leader');
      await reachesController('attacker', [webhook]);
    });

    it('the controller reaches the API server, and nothing of the outside', async () => {
      await controllerReaches([]);
      const [{ clusterIP, endpoint }, [pod]] = [await apiServer(), await controllerPods()];
      const targets: readonly Target[] = [
        ['tcp', clusterIP, 443],
        ['tcp', endpoint, 6443],
      ];
      expect(await dialFrom(pod!, targets)).to.deep.equal(targets.map(nameOf));
    });

    it('controllers that start behind it become Ready, and one of them leads', async () => {
      const old = (await controllerPods()).map(({ metadata }) => metadata.name);
      await kubectl([...system, 'delete', 'pod', ...old, '--wait=false']);
      await eventually('others are ready, and lead', async () => {
        const pods = await controllerPods();
        const names = pods.map(({ metadata }) => metadata.name);
        expect(names).to.have.length(old.length).and.not.include.members(old);
        expect(pods.every(isReady), 'ready').to.equal(true);
        const [holder] = (await leader()).split('_');
        expect(holder).to.be.oneOf(names);
      });
    });

    it('it holds them as well', async () => {
      await reachesController('attacker', [webhook]);
      await reachesController('prometheus', [webhook, metrics]);
      await controllerReaches([]);
    });

    it('they answer admission, and split', async () => {
      await webhookRefuses();
      await namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
      await readySplitPods(namespace, 'web', 2, containers);
    });
  });

  describe('taken away', () => {
    before(takeAway);

    it('all is open again', async () => {
      expect(await policies()).to.deep.equal([]);
      await reachesController('attacker', listening);
      await controllerReaches(outside);
    });
  });

  /** Each replica, by IPv4 and IPv6. */
  function reachesController(from: string, ports: readonly number[]): Promise<void> {
    return eventually(`${from} reaches ${ports.join(', ')} of the controller`, async () => {
      const addresses = (await controllerPods()).flatMap(podIPs);
      expect(addresses, 'two replicas, two families').to.have.length(4);
      const targets = addresses.flatMap((address) => listening.map((port): Target => ['tcp', address, port]));
      const reached = await dial('python', targets, (argv) => namespace.exec(from, from, argv));
      expect(reached).to.deep.equal(targets.filter(([, , port]) => ports.includes(port)).map(nameOf));
    });
  }

  /** From inside each replica, by IPv4 and IPv6. */
  async function controllerReaches(listeners: readonly (typeof outside)[number][]): Promise<void> {
    const addresses = podIPs(await namespace.get<Pod>('pods', 'outside'));
    expect(addresses, 'two families').to.have.length(2);
    const targetsOf = (all: readonly (typeof outside)[number][]) =>
      addresses.flatMap((address) => all.map(({ protocol, port }): Target => [protocol, address, port]));
    await eventually('what the controller reaches of the outside', async () => {
      for (const pod of await controllerPods()) {
        expect(await dialFrom(pod, targetsOf(outside))).to.deep.equal(targetsOf(listeners).map(nameOf));
      }
    });
  }

  async function readsMetrics(from: string): Promise<string> {
    const [address] = (await controllerPods()).flatMap(podIPs);
    const read = `import urllib.request as u; print(u.urlopen('http://${address ?? ''}:8080/metrics', timeout=5).read().decode())`;
    return (await namespace.exec(from, from, ['python3', '-c', read])).output;
  }

  async function webhookRefuses(): Promise<void> {
    const ended = await namespace.dryRun(barePod('bad', pair, { 'podsplit.io/mode': 'splt' }));
    expect(ended.status).not.to.equal(0);
    expect(ended.output).to.contain('podsplit.io" denied the request').and.to.contain('(UnknownMode)');
  }
});

function dialFrom(pod: Pod, targets: readonly Target[]): Promise<readonly string[]> {
  return dial('node', targets, (argv) => {
    return startKubectl([...system, 'exec', pod.metadata.name, '-c', 'controller', '--', ...argv]).ended;
  });
}

async function policies(): Promise<readonly string[]> {
  const found = await listAll<KubeObject>('networkPolicies', { namespace: 'podsplit-system' });
  return found.map(({ metadata }) => metadata.name);
}

/** What kustomize and Helm make of the same values is the same: e2e/deploy. */
async function apply(values: Values): Promise<void> {
  const chosen = [{ networkPolicy: { enabled: true } }, values].reduce(mergeValues, defaultValues(documents));
  const rendered = renderManifests(documents, { values: chosen, version: packageVersion });
  const mine = rendered.filter(({ object }) => object.startsWith('NetworkPolicy/'));
  await kubectl(['apply', '--server-side', '-f', '-'], manifestStream(mine));
}

async function takeAway(): Promise<void> {
  const names = documents
    .map(({ object }) => object.split('/'))
    .flatMap(([kind, name = '']) => (kind === 'NetworkPolicy' ? [name] : []));
  await kubectl([...system, 'delete', 'networkpolicy', ...names, '--ignore-not-found']);
}

/** With the cluster's own addresses and our namespace in the place of the example's. */
async function documentedValues(monitoring: string): Promise<Values> {
  const page = readFileSync(join(import.meta.dirname, '../docs/operations.md'), 'utf8');
  const [, example = ''] = /```yaml\n(# values\.yaml\nnetworkPolicy:\n.*?)```/s.exec(page) ?? [];
  const { clusterIP, endpoint } = await apiServer();
  const ours = [
    [': monitoring', `: ${monitoring}`],
    ['10.96.0.1/', `${clusterIP}/`],
    ['192.0.2.10/', `${endpoint}/`],
  ] as const;
  const text = ours.reduce((replaced, [theirs, mine]) => {
    expect(replaced, 'the example').to.contain(theirs);
    return replaced.replace(theirs, mine);
  }, example);
  return parse(text) as Values;
}

async function apiServer(): Promise<{ readonly clusterIP: string; readonly endpoint: string }> {
  const here = ['-n', 'default', 'get', '-o'];
  const clusterIP = await kubectl([...here, 'jsonpath={.spec.clusterIP}', 'service/kubernetes']);
  const addresses = 'jsonpath={.endpoints[0].addresses[0]}';
  return { clusterIP, endpoint: await kubectl([...here, addresses, 'endpointslice/kubernetes']) };
}

/** Changes with each restart, and with each moment in which it is not Ready. */
function stateOf(pod: Pod) {
  const restarts = (pod.status.containerStatuses ?? []).map(({ restartCount }) => restartCount);
  return { uid: pod.metadata.uid, restarts, ready: condition(pod, 'Ready') };
}
