// A Pod's ports by all ways that lead there: the same answers of a whole Pod and of a split one, whichever container listens.

import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { network } from '../hack/cluster/names.ts';
import { spawnKubectl } from '../hack/demo/command.ts';
import { agentProgram, agents, barePod, call, splitMode, workload, type Target } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, podIPs, type KubeObject, type Pod } from './support/objects.ts';
import { isReady, podSplitOf, readySplitPods, splitPods } from './support/pieces.ts';
import { both, modes, type Mode } from './support/side-by-side.ts';

const run = promisify(execFile);

interface Port {
  readonly container: 'app' | 'helper';
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly name: string;
}

const ports: readonly Port[] = [
  { container: 'app', protocol: 'tcp', port: 7001, name: 'app-tcp' },
  { container: 'app', protocol: 'udp', port: 7002, name: 'app-udp' },
  { container: 'helper', protocol: 'tcp', port: 7003, name: 'helper-tcp' },
  { container: 'helper', protocol: 'udp', port: 7004, name: 'helper-udp' },
];
/** Declared, and bound to loopback: for its own Pod alone. */
const loopbackPort = 7005;

const listeners = (container: Port['container']) =>
  ports
    .filter((port) => port.container === container)
    .map(({ protocol, port }) => ({ protocol, port, bind: '::' as const, declared: true }));

/** A hostPort is there once on a node, whoever asks. */
function podSpec(firstHostPort?: number) {
  const spec = agents({
    app: listeners('app'),
    helper: [...listeners('helper'), { protocol: 'tcp', bind: '127.0.0.1', port: loopbackPort, declared: true }],
  });
  const named = (port: { readonly containerPort: number; readonly protocol: string }) => {
    const index = ports.findIndex((known) => known.port === port.containerPort);
    if (index === -1) return port;
    const hostPort = firstHostPort === undefined ? {} : { hostPort: firstHostPort + index };
    return { ...port, name: ports[index]?.name, ...hostPort };
  };
  return { ...spec, containers: spec.containers.map((each) => ({ ...each, ports: each.ports.map(named) })) };
}

interface Service extends KubeObject {
  readonly spec: {
    readonly clusterIPs: readonly string[];
    readonly ports: readonly { readonly name: string; readonly nodePort: number }[];
  };
}

function service(name: string, app: string, spec: object) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      selector: { app },
      ipFamilyPolicy: 'RequireDualStack',
      // By name and by number, of both containers.
      ports: ports.map(({ name: port, protocol, port: number }, index) => ({
        name: port,
        protocol: protocol.toUpperCase(),
        port: 80 + index,
        targetPort: index % 2 === 0 ? port : number,
      })),
      ...spec,
    },
  };
}

const source = agentProgram.data['agent.py'];

/** From the machine that the nodes run on: a client beyond the cluster. */
async function callFromMachine(targets: readonly Target[]): Promise<readonly (string | undefined)[]> {
  const { stdout } = await run('python3', ['-c', source, 'call', JSON.stringify(targets)]);
  return (JSON.parse(stdout) as readonly (string | null)[]).map((answer) => answer ?? undefined);
}

describe("ways to a Pod's ports", () => {
  const pods = new Map<Mode, Pod>();
  let namespace: TestNamespace;
  let client: Pod;

  before(async () => {
    namespace = await TestNamespace.create('services');
    await namespace.apply(agentProgram);
    await namespace.apply(
      barePod('client', agents({ client: [{ protocol: 'tcp', bind: '::', port: 7000, declared: true }] })),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'witness' },
        spec: {
          selector: { app: 'client' },
          ipFamilyPolicy: 'RequireDualStack',
          ports: [{ port: 80, targetPort: 7000 }],
        },
      },
      ...both.flatMap((mode, index) => [
        workload('Deployment', mode, podSpec(17_101 + 10 * index), { replicas: 1, annotations: modes[mode] }),
        service(mode, mode, {}),
        service(`${mode}-headless`, mode, { clusterIP: 'None' }),
        service(`${mode}-local`, mode, { type: 'NodePort', externalTrafficPolicy: 'Local' }),
      ]),
      workload('Deployment', 'closed', podSpec(), {
        replicas: 1,
        annotations: { ...splitMode, 'podsplit.io/flows': 'none' },
      }),
      service('closed', 'closed', {}),
    );
    for (const mode of both) {
      const pod = await eventually(`${mode} is ready`, async () => {
        const [found, ...more] = await splitPods(namespace, mode);
        if (found === undefined || more.length > 0 || !isReady(found.primary)) throw new Error('not yet');
        expect(found.pieces.size).to.equal(2);
        return found.primary;
      });
      pods.set(mode, pod);
    }
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]);
    client = await namespace.get<Pod>('pods', 'client');
  });

  after(() => TestNamespace.deleteAll());

  for (const mode of both) {
    describe(mode, () => {
      it('the Pod IP, to a Pod that is seen by its own address', async () => {
        for (const address of podIPs(pods.get(mode)!)) {
          await answered(address, ({ port }) => port, sourceOf(podIPs(client)), fromClient);
        }
      });

      it('the Pod IP gives nobody what is bound to loopback', async () => {
        const addresses = podIPs(pods.get(mode)!);
        const targets = addresses.map((address): Target => ['tcp', address, loopbackPort]);
        expect(await fromClient(targets)).to.deep.equal(addresses.map(() => undefined));
        expect(await fromMachine(targets)).to.deep.equal(addresses.map(() => undefined));
        const own = await call(namespace, pods.get(mode)!.metadata.name, 'app', [['tcp', '127.0.0.1', loopbackPort]]);
        expect(own).to.deep.equal(['helper 127.0.0.1']);
      });

      it('a Service of both families, by name and by number', async () => {
        const { spec } = await namespace.get<Service>('services', mode);
        expect(spec.clusterIPs).to.have.length(2);
        for (const address of spec.clusterIPs) {
          await answered(address, (_port, index) => 80 + index, sourceOf(podIPs(client)), fromClient);
        }
      });

      it('a headless Service: its name is the Pod IPs', async () => {
        await eventually('its name', async () => {
          const host = `${mode}-headless.${namespace.name}.svc.cluster.local`;
          const lookup = `import json, socket; print(json.dumps(sorted({i[4][0] for i in socket.getaddrinfo('${host}', 1)})))`;
          const { stdout } = await namespace.exec('client', 'client', ['python3', '-c', lookup]);
          expect(JSON.parse(stdout)).to.deep.equal([...podIPs(pods.get(mode)!)].sort());
        });
      });

      it('a NodePort with externalTrafficPolicy Local: on its node, to a client that is seen by its own address', async () => {
        const { spec } = await namespace.get<Service>('services', `${mode}-local`);
        const nodePort = ({ name }: Port) => spec.ports.find((port) => port.name === name)?.nodePort ?? 0;
        for (const { ip } of pods.get(mode)!.status.hostIPs ?? []) {
          await answered(ip, nodePort, sourceOf(Object.values(network.host)), fromMachine);
        }
      });

      it('a hostPort', async () => {
        const first = mode === 'whole' ? 17_101 : 17_111;
        for (const { ip } of pods.get(mode)!.status.hostIPs ?? []) {
          await answered(ip, (_port, index) => first + index, sourceOf(Object.values(network.host)), fromMachine);
        }
      });

      for (const { container, port } of ports.filter(({ protocol }) => protocol === 'tcp')) {
        it(`kubectl port-forward to a port of ${container}`, async () => {
          const forwarded = await portForward(port);
          try {
            const [answer] = await fromMachine([['tcp', '127.0.0.1', forwarded.port]]);
            expect(answer?.split(' ')[0]).to.equal(container);
          } finally {
            forwarded.end();
          }
        });
      }

      it('each container reaches the Pod by its own Service, itself too, and by its own Pod IP', async () => {
        const { spec } = await namespace.get<Service>('services', mode);
        const [found] = await splitPods(namespace, mode);
        for (const [container, piece] of found!.pieces) {
          const targets = [
            ...spec.clusterIPs.map((address) => [address, (index: number) => 80 + index] as const),
            ...podIPs(pods.get(mode)!).map((address) => [address, (index: number) => ports[index]!.port] as const),
          ].flatMap(([address, portOf]) =>
            ports.map(({ protocol }, index): Target => [protocol, address, portOf(index)]),
          );
          await eventually(`${container} is answered`, async () => {
            const answers = await call(namespace, piece.metadata.name, container, targets);
            expect(answers.map((answer) => answer?.split(' ')[0])).to.deep.equal(
              targets.map((_target, index) => ports[index % ports.length]!.container),
            );
          });
        }
      });

      it('what a container calls itself sees it at an address of the Pod', async () => {
        const [found] = await splitPods(namespace, mode);
        const { clusterIPs } = (await namespace.get<Service>('services', 'witness')).spec;
        for (const [container, piece] of found!.pieces) {
          const targets = clusterIPs.map((address): Target => ['tcp', address, 80]);
          // A whole Pod has one. Of a split Pod a sibling has its own: it answers from its own Pod IP.
          await eventually(`${container} is answered`, async () => {
            const answers = await call(namespace, piece.metadata.name, container, targets);
            const seen = targets.map(([, address]) => `client ${sourceOf(podIPs(piece))(address)}`);
            expect(answers).to.deep.equal(seen);
          });
        }
      });

      async function portForward(port: number): Promise<{ readonly port: number; readonly end: () => void }> {
        const forward = spawnKubectl([
          '-n',
          namespace.name,
          'port-forward',
          `pod/${pods.get(mode)!.metadata.name}`,
          `:${port}`,
        ]);
        for await (const line of createInterface(forward.stdout)) {
          const [, local] = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line) ?? [];
          if (local !== undefined) return { port: Number(local), end: () => forward.kill() };
        }
        throw new Error('kubectl port-forward forwards nothing');
      }
    });
  }

  it('a sibling whose flows are closed reaches its own ports by its own Service, and no others', async () => {
    const [found] = await readySplitPods(namespace, 'closed', 1, ['app', 'helper']);
    const { spec } = await namespace.get<Service>('services', 'closed');
    for (const address of spec.clusterIPs) {
      await answered(address, (_port, index) => 80 + index, sourceOf(podIPs(client)), fromClient);
    }
    const targets = spec.clusterIPs.flatMap((address) =>
      ports.map(({ protocol }, index): Target => [protocol, address, 80 + index]),
    );
    const answers = await call(namespace, found!.pieces.get('helper')!.metadata.name, 'helper', targets);
    expect(answers.map((answer) => answer?.split(' ')[0])).to.deep.equal(
      targets.map((_target, index) => (ports[index % ports.length]!.container === 'helper' ? 'helper' : undefined)),
    );
    await eventually(
      'it is told who was denied what',
      async () => {
        const { status } = await podSplitOf(namespace, found!.primary);
        const denied = (status?.denied ?? []).map(
          ({ from, to, port, protocol }) => `${from}->${to}:${port}/${protocol}`,
        );
        expect(denied).to.include.members(['helper->app:7001/tcp', 'helper->app:7002/udp']);
        expect(denied.filter((row) => row.startsWith('helper->helper'))).to.deep.equal([]);
      },
      60_000,
    );
  });

  it('a hostPort is open in both at once, and nothing is left behind', async () => {
    for (const mode of both) expect(condition(pods.get(mode)!, 'Ready')?.status).to.equal('True');
    await invariantsHold();
  });

  const fromClient = (targets: readonly Target[]) => call(namespace, 'client', 'client', targets);
  const fromMachine = callFromMachine;

  /** Of the family of the address that was called. */
  function sourceOf(addresses: readonly string[]): (called: string) => string | undefined {
    return (called) => addresses.find((address) => address.includes(':') === called.includes(':'));
  }

  /** Until what programs Services has seen the Pod. */
  function answered(
    address: string,
    portOf: (port: Port, index: number) => number,
    source: (called: string) => string | undefined,
    from: typeof fromClient,
  ): Promise<void> {
    const targets = ports.map((port, index): Target => [port.protocol, address, portOf(port, index)]);
    return eventually(
      `all ports at ${address}`,
      async () => {
        expect(await from(targets)).to.deep.equal(ports.map(({ container }) => `${container} ${source(address)}`));
      },
      30_000,
    );
  }
});
