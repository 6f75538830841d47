// The unavoidable proxy with real programs: an agent that runs what it is told, and squid, in one Pod, kept, and carried.

import { join } from 'node:path';
import { expect } from 'chai';
import { annotations, frame, stages, tasks, type Stage, type Task } from '../examples/agent/tasks.ts';
import type { Agent } from './attack/agent.ts';
import { succeeded } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { agentOnNode, onNode } from './support/node.ts';
import { podIPs, type Pod } from './support/objects.ts';
import { addressesOf, readySplitPods, splitPods, type SplitPod } from './support/pieces.ts';

const example = join(import.meta.dirname, '../examples/agent');

interface RunningPod extends Pod {
  readonly status: Pod['status'] & {
    readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[];
  };
}

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

for (const mode of ['split', 'isolate'] as const) describeMode(mode);

function describeMode(mode: 'split' | 'isolate'): void {
  describe(`in mode ${mode} an agent behind a proxy that it cannot avoid`, () => {
    let namespace: TestNamespace;
    let outside: Agent;
    let host: { readonly ipv4: string; readonly ipv6: string };
    let pod: SplitPod;

    before(async () => {
      namespace = await TestNamespace.create(`egress-${mode}`);
      outside = agentOnNode('outside');
      host = await addressesOutside();
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
      await Promise.all([
        namespace.kubectl(['rollout', 'status', 'deployment/agent', '--timeout=120s']),
        namespace.kubectl(['wait', '--for=condition=Ready', 'pod/world', '--timeout=90s']),
      ]);
    });

    after(async () => {
      outside.end();
      await TestNamespace.deleteAll();
    });

    for (const stage of stages) {
      describe(stage, () => {
        before(async () => {
          await become(stage);
        });

        it('takes tasks by its Service, over IPv4 and IPv6, and its probes succeed', async () => {
          const { spec } = await namespace.get<{ spec: { clusterIPs: readonly string[] } }>('service', 'agent');
          expect(spec.clusterIPs).to.have.length(2);
          for (const address of spec.clusterIPs) {
            await eventually(`the Service at ${address}`, async () => {
              expect(await told('echo at your service', inUrl(address))).to.contain('at your service');
            });
          }
        });

        for (const task of tasks.filter(({ raw }) => mode === 'split' || raw !== true)) {
          it(`${task.succeeds[stage] ? 'works' : 'fails'}: ${task.what}`, async () => {
            const output = await told(commandOf(task));
            expect(task.proof.test(output), output).to.equal(task.succeeds[stage]);
          });
        }

        if (mode === 'split') {
          it(`${stage === 'whole' ? 'works' : 'fails'}: sends a frame around the rules of its network namespace`, async () => {
            const before = (await outside.seen(5301)).length;
            const own = podIPs(pod.primary).find((address) => !address.includes(':')) ?? '';
            const sent = await told(`python3 -c '${frame}' ${own} ${host.ipv4}`);
            expect(sent).to.match(/^sent \d+/m);
            expect(await seenMoreThan(before, stage === 'whole' ? 5000 : 500)).to.equal(stage === 'whole');
          });
        }

        it('was not restarted by any probe', async () => {
          for (const [name, { metadata }] of pod.pieces) {
            const { status } = await namespace.get<RunningPod>('pod', metadata.name);
            expect(status.containerStatuses?.find((each) => each.name === name)?.restartCount, name).to.equal(0);
          }
        });
      });
    }

    it('says what nobody resolves, when the workload is annotated', async () => {
      const changes = Object.entries(annotationsOf('kept')).map(([key, value]) => `${key}=${value}`);
      const { output } = await namespace.try(['annotate', 'deployment/agent', '--dry-run=server', ...changes]);
      expect(output).to.contain('Container agent resolves no names').and.contain('EgressWithoutDns');
    });

    function annotationsOf(stage: Stage): Readonly<Record<string, string>> {
      return stage === 'whole' ? {} : { ...annotations[stage], 'podsplit.io/mode': mode };
    }

    async function become(stage: Stage): Promise<void> {
      const keys = new Set(Object.values(annotations).flatMap((each) => Object.keys(each)));
      const wanted = annotationsOf(stage);
      const changes = [...keys].map((key) => (key in wanted ? `${key}=${wanted[key] ?? ''}` : `${key}-`));
      await namespace.kubectl(['annotate', '--overwrite', 'deployment/agent', ...changes]);
      await namespace.kubectl(['rollout', 'status', 'deployment/agent', '--timeout=150s']);
      // Those before would still take tasks, as their Service lets them end what they have begun.
      await eventually('the Pods before are gone', async () => {
        expect(await namespace.list<Pod>('pods', '-l', 'app=agent')).to.have.length(1);
      });
      if (stage === 'whole' || mode === 'isolate') {
        pod = await eventually('one Pod', async () => {
          const found = await splitPods(namespace, 'agent');
          expect(found).to.have.length(1);
          return found[0]!;
        });
      } else {
        [pod = pod] = await readySplitPods(namespace, 'agent', 1, ['agent', 'proxy']);
      }
    }

    function commandOf({ command }: Task): string {
      const proxy = pod.pieces.get('proxy');
      const addresses = proxy === undefined ? [] : addressesOf(proxy).map(inUrl);
      return command
        .replaceAll('{outside4}', host.ipv4)
        .replaceAll('{outside6}', host.ipv6)
        .replaceAll('{proxy}', addresses.join(' '));
    }

    /** What the agent printed. */
    async function told(command: string, at = 'agent'): Promise<string> {
      const curl = ['curl', '-sS', '-m', '40', '-g', '--data-binary', command, `http://${at}/`];
      return succeeded(await namespace.exec('world', 'client', curl));
    }

    async function seenMoreThan(before: number, forMs: number): Promise<boolean> {
      const end = performance.now() + forMs;
      do {
        if ((await outside.seen(5301)).length > before) return true;
      } while (performance.now() < end);
      return false;
    }

    async function addressesOutside(): Promise<typeof host> {
      const listed = await onNode('outside', ['ip', '-json', 'address', 'show', 'dev', 'eth0', 'scope', 'global']);
      const [link] = JSON.parse(listed) as readonly { readonly addr_info: readonly { readonly local: string }[] }[];
      const locals = (link?.addr_info ?? []).map(({ local }) => local);
      return {
        ipv4: locals.find((address) => !address.includes(':')) ?? '',
        ipv6: locals.find((address) => address.includes(':')) ?? '',
      };
    }
  });
}

/** RFC 3986, section 3.2.2. */
function inUrl(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
