import { join } from 'node:path';
import { expect } from 'chai';
import { annotations, frame, stages, tasks, type Stage, type Task } from '../../examples/agent/tasks.ts';
import type { Agent } from '../attack/agent.ts';
import { succeeded } from './agents.ts';
import { eventually, patience } from './eventually.ts';
import { TestNamespace } from './namespace.ts';
import { addressesOutside, agentOnNode } from './node.ts';
import { containerStatus, podIPs, type Pod } from './objects.ts';
import { addressesOf, readySplitPods, splitPods, type SplitPod } from './pieces.ts';

const example = join(import.meta.dirname, '../../examples/agent');

export type Mode = 'split' | 'isolate';

/** As users write it, or as meshes and gateways inject it: the proxy is there before the agent, and ends after it. */
export type ProxyKind = 'container' | 'native sidecar';

/** RFC 6902: of the Deployment. */
const proxyAsNativeSidecar = [
  { op: 'add', path: '/spec/template/spec/initContainers', value: [] },
  { op: 'move', from: '/spec/template/spec/containers/1', path: '/spec/template/spec/initContainers/0' },
  { op: 'add', path: '/spec/template/spec/initContainers/0/restartPolicy', value: 'Always' },
];

/** In one Pod containers are told apart by their UIDs, and none may be root. */
const unprivileged = {
  spec: {
    template: {
      spec: {
        containers: [
          {
            name: 'agent',
            securityContext: {
              runAsUser: 1001,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
      },
    },
  },
};

/** examples/agent with the world that it works in, and a host beyond the cluster that it shall not reach. */
export class AgentExample {
  readonly namespace: TestNamespace;
  readonly outside: Agent;
  readonly host: { readonly ipv4: string; readonly ipv6: string };
  private readonly mode: Mode;
  private readonly proxy: ProxyKind;
  pod!: SplitPod;

  private constructor(
    namespace: TestNamespace,
    pod: { readonly mode: Mode; readonly proxy: ProxyKind },
    outside: Agent,
    host: AgentExample['host'],
  ) {
    this.namespace = namespace;
    this.mode = pod.mode;
    this.proxy = pod.proxy;
    this.outside = outside;
    this.host = host;
  }

  static async start(purpose: string, mode: Mode = 'split', proxy: ProxyKind = 'container'): Promise<AgentExample> {
    const [namespace, host] = [await TestNamespace.create(purpose), await addressesOutside()];
    const made = new AgentExample(namespace, { mode, proxy }, agentOnNode('outside'), host);
    try {
      await made.begin();
    } catch (error) {
      // It would keep the suite's process from ending.
      made.end();
      throw error;
    }
    return made;
  }

  private async begin(): Promise<void> {
    const { namespace, mode, outside, proxy } = this;
    for (const [proto, port] of [
      ['tcp', 8443],
      ['tcp', 53],
      ['udp', 53],
      ['udp', 5300],
      ['udp', 5301],
    ] as const) {
      await outside.listen(proto, '::', port, true);
    }
    await Promise.all(['agent', 'world'].map((name) => namespace.applyFile(join(example, `${name}.yaml`))));
    if (mode === 'isolate') {
      await namespace.kubectl(['patch', 'deployment/agent', '--patch', JSON.stringify(unprivileged)]);
    }
    if (proxy === 'native sidecar') {
      const patch = JSON.stringify(proxyAsNativeSidecar);
      await namespace.kubectl(['patch', 'deployment/agent', '--type=json', '--patch', patch]);
    }
    await Promise.all([
      namespace.kubectl(['rollout', 'status', 'deployment/agent', patience]),
      namespace.kubectl(['wait', '--for=condition=Ready', 'pod/world', patience]),
    ]);
  }

  end(): void {
    this.outside.end();
  }

  annotationsOf(stage: Stage): Readonly<Record<string, string>> {
    return stage === 'whole' ? {} : { ...annotations[stage], 'podsplit.io/mode': this.mode };
  }

  /** Annotates the Deployment, and waits for the Pod that it makes then. */
  async become(wanted: Readonly<Record<string, string>>): Promise<void> {
    const { namespace } = this;
    const keys = new Set(Object.values(annotations).flatMap((each) => Object.keys(each)));
    const changes = [...keys].map((key) => (key in wanted ? `${key}=${wanted[key] ?? ''}` : `${key}-`));
    await namespace.kubectl(['annotate', '--overwrite', 'deployment/agent', ...changes]);
    await namespace.kubectl(['rollout', 'status', 'deployment/agent', patience]);
    // Those before would still take tasks, as their Service lets them end what they have begun.
    await eventually('the Pods before are gone', async () => {
      expect(await namespace.list<Pod>('pods', { labelSelector: 'app=agent' })).to.have.length(1);
    });
    if (wanted['podsplit.io/mode'] === 'split') {
      [this.pod = this.pod] = await readySplitPods(namespace, 'agent', 1, ['agent', 'proxy']);
      return;
    }
    this.pod = await eventually('one Pod', async () => {
      const found = await splitPods(namespace, 'agent');
      expect(found).to.have.length(1);
      return found[0]!;
    });
  }

  /** What the agent printed. */
  async told(command: string, at = 'agent'): Promise<string> {
    const curl = ['curl', '-sS', '-m', '40', '-g', '--data-binary', command, `http://${at}/`];
    return succeeded(await this.namespace.exec('world', 'client', curl));
  }

  /** Whether it succeeded, and what was printed. */
  async tries({ command, proof }: Task): Promise<{ readonly succeeded: boolean; readonly output: string }> {
    const proxy = this.pod.pieces.get('proxy');
    const addresses = proxy === undefined ? [] : addressesOf(proxy).map(inUrl);
    const output = await this.told(
      command
        .replaceAll('{outside4}', this.host.ipv4)
        .replaceAll('{outside6}', this.host.ipv6)
        .replaceAll('{proxy}', addresses.join(' ')),
    );
    return { succeeded: proof.test(output), output };
  }

  /** Around the rules of its network namespace: does it get out? */
  async sendsFrame(forMs: number): Promise<boolean> {
    const before = (await this.outside.seen(5301)).length;
    const own = podIPs(this.pod.primary).find((address) => !address.includes(':')) ?? '';
    expect(await this.told(`python3 -c '${frame}' ${own} ${this.host.ipv4}`)).to.match(/^sent \d+/m);
    const end = performance.now() + forMs;
    do {
      if ((await this.outside.seen(5301)).length > before) return true;
    } while (performance.now() < end);
    return false;
  }

  async expectNoRestarts(): Promise<void> {
    for (const [name, { metadata }] of this.pod.pieces) {
      const own = containerStatus(await this.namespace.get<Pod>('pods', metadata.name), name);
      expect(own?.restartCount, name).to.equal(0);
    }
  }
}

/** Its work goes on, and its ways past the proxy end, as the stage says. */
export function describeStage(stage: Stage, exampleOf: () => AgentExample, mode: Mode = 'split'): void {
  const whole = stage === stages[0];
  describe(stage, () => {
    before(async () => {
      await exampleOf().become(exampleOf().annotationsOf(stage));
    });
    triesAll(stage, exampleOf, mode);

    if (mode === 'split') {
      it(`${whole ? 'works' : 'fails'}: sends a frame around the rules of its network namespace`, async () => {
        expect(await exampleOf().sendsFrame(whole ? 5000 : 500)).to.equal(whole);
      });
    }

    it('was not restarted by any probe', async () => {
      await exampleOf().expectNoRestarts();
    });
  });
}

/** In mode isolate nobody may hold what raw sockets need. */
export function triesAll(stage: Stage, exampleOf: () => AgentExample, mode: Mode = 'split'): void {
  it('takes tasks by its Service, over IPv4 and IPv6, and its probes succeed', async () => {
    const { spec } = await exampleOf().namespace.get<{ spec: { clusterIPs: readonly string[] } }>('services', 'agent');
    expect(spec.clusterIPs).to.have.length(2);
    for (const address of spec.clusterIPs) {
      await eventually(`the Service at ${address}`, async () => {
        expect(await exampleOf().told('echo at your service', inUrl(address))).to.contain('at your service');
      });
    }
  });

  for (const task of tasks.filter(({ raw }) => mode === 'split' || raw !== true)) {
    it(`${task.succeeds[stage] ? 'works' : 'fails'}: ${task.what}`, async () => {
      const tried = await exampleOf().tries(task);
      expect(tried.succeeded, tried.output).to.equal(task.succeeds[stage]);
    });
  }
}

/** RFC 3986, section 3.2.2. */
function inUrl(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
