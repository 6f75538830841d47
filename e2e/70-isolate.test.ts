// One Pod whose containers are told apart by their UIDs: who reaches whom, by whatever address, in one Pod and isolated.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { FlowsReport } from '../controller/cli/flows-report.ts';
import { imageReference } from '../hack/images/recipes.ts';
import { kubeconfig } from '../hack/kubectl.ts';
import { agentProgram, agents, barePod, call, workload } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { isolatedPod, isolateMode, server, targets } from './support/isolated.ts';
import { TestNamespace } from './support/namespace.ts';
import { restartAgent } from './support/node-agent.ts';
import { onNode } from './support/node.ts';
import { podIPs, type KubeObject, type Pod } from './support/objects.ts';
import { eventOf, isReady, podSplitOf, readySplitPods } from './support/pieces.ts';

const run = promisify(execFile);
const plugin = join(import.meta.dirname, '../bin/kubectl-podsplit');

const flows = 'web->cache:6379,web->cache:6380,web->cache:8125/udp';
const names = ['web', 'cache', 'attacker'] as const;
const users: Readonly<Record<string, number>> = { web: 1001, cache: 1002, attacker: 1003 };

/** The attacker is first at a port that cache declares. */
const base = agents({
  web: [
    { protocol: 'tcp', bind: '::', port: 8080, declared: true },
    { protocol: 'tcp', bind: '::', port: 9901, declared: false },
    { protocol: 'udp', bind: '::', port: 9902, declared: false },
  ],
  cache: [
    { protocol: 'tcp', bind: '::', port: 6379, declared: true },
    { protocol: 'udp', bind: '::', port: 8125, declared: true },
  ],
  attacker: [
    { protocol: 'tcp', bind: '::', port: 6380, declared: false },
    { protocol: 'tcp', bind: '::', port: 7000, declared: true },
  ],
});

const spec = {
  ...base,
  containers: base.containers.map((container) => ({
    ...container,
    ...(container.name === 'cache' ? { ports: [...container.ports, { containerPort: 6380, protocol: 'TCP' }] } : {}),
    ...(container.name === 'web'
      ? {
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
          livenessProbe: { exec: { command: ['true'] } },
        }
      : {}),
    securityContext: { ...container.securityContext, runAsUser: users[container.name]! },
  })),
};

/** What one container must not do to another; in one Pod all of it succeeds. */
const attacks: readonly (readonly [from: string, protocol: 'tcp' | 'udp', port: number, answeredBy: string])[] = [
  ['attacker', 'tcp', 6379, 'cache'],
  ['attacker', 'udp', 8125, 'cache'],
  ['attacker', 'tcp', 8080, 'web'],
  ['attacker', 'tcp', 9901, 'web'],
  ['attacker', 'udp', 9902, 'web'],
  ['cache', 'tcp', 9901, 'web'],
  // A call of cache's port, which the attacker has taken.
  ['web', 'tcp', 6380, 'attacker'],
];

const allowed: typeof attacks = [
  ['web', 'tcp', 6379, 'cache'],
  ['web', 'udp', 8125, 'cache'],
  ['web', 'tcp', 9901, 'web'],
  ['attacker', 'tcp', 7000, 'attacker'],
];

describe('an isolated Pod', () => {
  let namespace: TestNamespace;
  let pod: Pod;

  before(async () => {
    namespace = await TestNamespace.create('isolate', { 'pod-security.kubernetes.io/enforce': 'restricted' });
    await namespace.apply(
      agentProgram,
      barePod('whole', spec),
      barePod('client', agents({ client: [{ protocol: 'tcp', bind: '::', port: 7100, declared: true }] })),
      workload('Deployment', 'web', spec, { replicas: 1, annotations: { ...isolateMode, 'podsplit.io/flows': flows } }),
    );
    for (const name of ['whole', 'client']) {
      await eventually(`${name} is ready`, async () => {
        expect(isReady(await namespace.get<Pod>('pods', name))).to.equal(true);
      });
    }
    pod = await isolatedPod(namespace, 'web');
  });

  after(() => TestNamespace.deleteAll());

  it('stays one Pod, with its containers, a label, and no other interface', () => {
    expect(pod.spec.containers.map(({ name }) => name)).to.deep.equal(names);
    expect(pod.spec.initContainers ?? []).to.deep.equal([]);
    expect(podIPs(pod)).to.have.length(2);
    const interfaces = JSON.parse(pod.metadata.annotations?.['k8s.v1.cni.cncf.io/network-status'] ?? '[]') as object[];
    expect(interfaces).to.have.length(1);
  });

  it('in one Pod without podsplit all attacks succeed', async () => {
    const whole = await namespace.get<Pod>('pods', 'whole');
    expect(await outcome('whole', attacks, insideOf(whole))).to.deep.equal(expected(attacks, insideOf(whole)));
  });

  it('isolated they fail, by every address', async () => {
    const nothing = expected(attacks, insideOf(pod)).map(() => undefined);
    expect(await outcome(pod.metadata.name, attacks, insideOf(pod))).to.deep.equal(nothing);
  });

  it('flows pass, and what a container serves itself', async () => {
    expect(await outcome(pod.metadata.name, allowed, insideOf(pod))).to.deep.equal(expected(allowed, insideOf(pod)));
  });

  it('is probed, called and calls as before', async () => {
    expect(isReady(pod)).to.equal(true);
    const client = await namespace.get<Pod>('pods', 'client');
    for (const name of names) {
      const answers = await call(namespace, pod.metadata.name, name, targets(podIPs(client), 'tcp', 7100));
      expect(answers.map(server), name).to.deep.equal(['client', 'client']);
    }
    const served = await call(namespace, 'client', 'client', targets(podIPs(pod), 'tcp', 8080));
    expect(served.map(server)).to.deep.equal(['web', 'web']);
  });

  it('opens and closes flows while it runs', async () => {
    const target = targets(['127.0.0.1', '::1'], 'tcp', 6379);
    const attackers = () => call(namespace, pod.metadata.name, 'attacker', target);
    await annotatePod(`${flows},attacker->cache:6379`);
    await eventually('the new flow is open', async () => {
      expect((await attackers()).map(server)).to.deep.equal(['cache', 'cache']);
    });
    await annotatePod(flows);
    await eventually('it is closed again', async () => {
      expect(await attackers()).to.deep.equal([undefined, undefined]);
    });
    expect((await namespace.get<Pod>('pods', pod.metadata.name)).metadata.uid).to.equal(pod.metadata.uid);
  });

  it('keeps its rules through a restart of the agent, and follows it then', async () => {
    await restartAgent(pod.spec.nodeName!);
    const target = targets(['127.0.0.1'], 'tcp', 8080);
    const cacheCalls = () => call(namespace, pod.metadata.name, 'cache', target);
    expect(await cacheCalls()).to.deep.equal([undefined]);
    await annotatePod(`${flows},cache->web:8080`);
    await eventually('the new flow is open', async () => {
      expect((await cacheCalls()).map(server)).to.deep.equal(['web']);
    });
    await annotatePod(flows);
    await eventually('it is closed again', async () => {
      expect(await cacheCalls()).to.deep.equal([undefined]);
    });
  });

  it('has its rules again when somebody takes them away', async () => {
    const netns = await netnsOf(pod);
    await onNode(pod.spec.nodeName!, ['ip', 'netns', 'exec', netns, 'nft', 'flush', 'ruleset']);
    await eventually('the audit has loaded them anew', async () => {
      const answers = await call(namespace, pod.metadata.name, 'attacker', targets(['127.0.0.1'], 'tcp', 6379));
      expect(answers).to.deep.equal([undefined]);
    });
    await eventOf(namespace, 'RulesRepaired', 'Pod', pod.metadata.name);
  });

  it('tells in kubectl podsplit flows what was denied to whom', async () => {
    await outcome(pod.metadata.name, attacks, ['127.0.0.1', '::1']);
    await eventually('the agent has carried it', async () => {
      const args = ['flows', pod.metadata.name, '-n', namespace.name, '--kubeconfig', kubeconfig, '-o', 'json'];
      const report = JSON.parse((await run(plugin, args)).stdout) as FlowsReport;
      expect(report).to.include({ phase: 'Running', install: 'node' });
      expect(report.flows.map(({ from, to, port }) => `${from}->${to}:${port}`)).to.include('web->cache:6379');
      const rows = (report.denied ?? []).map(
        ({ from, to, address, port, network }) => `${from} ${to} ${address} ${port} ${network}`,
      );
      for (const address of ['127.0.0.1', '::1']) {
        expect(rows).to.include(`attacker cache ${address} 6379 loopback`);
        expect(rows).to.include(`attacker web ${address} 9901 loopback`);
        expect(rows).to.include(`web attacker ${address} 6380 loopback`);
      }
    });
    expect((await podSplitOf(namespace, pod)).status?.pieces?.map(({ name, role }) => `${role} ${name}`)).to.deep.equal(
      names.map((name) => `isolated ${name}`),
    );
  });

  it('takes ephemeral containers of a UID of their own only, and those reach nothing', async () => {
    const debug = (name: string, uid: number | undefined, more: object = {}) => ({
      ...base.containers[0]!,
      name,
      ports: undefined,
      resources: undefined,
      args: ['tcp::::7777'],
      securityContext: { ...base.containers[0]!.securityContext, runAsUser: uid, ...more },
    });
    await namespace.apply(...editor);
    const ours = /a container that is added to an isolated Pod/;
    for (const [container, why] of [
      [debug('d1', users['web']), ours],
      [debug('d2', 0, { runAsNonRoot: false }), /restricted|an isolated Pod/],
      [debug('d3', undefined), ours],
      [debug('d4', 1009, { allowPrivilegeEscalation: undefined }), /restricted|an isolated Pod/],
    ] as const) {
      const refused = await addEphemeral(container, 'alice');
      expect(refused.status, container.name).not.to.equal(0);
      expect(refused.output, container.name).to.match(why);
    }
    const added = await addEphemeral(debug('d5', 1009), 'alice');
    expect(added.status, added.output).to.equal(0);
    await eventually('it runs, and reaches nothing', async () => {
      const reached = [...targets(insideOf(pod), 'tcp', 6379), ...targets(insideOf(pod), 'tcp', 7777)];
      const answers = await call(namespace, pod.metadata.name, 'd5', reached);
      expect(answers).to.deep.equal(reached.map(() => undefined));
    });
  });

  it('gives free UIDs where it is asked to', async () => {
    const { securityContext, ...container } = base.containers[1]!;
    const { runAsUser: _user, ...unnamed } = securityContext;
    const assigned = {
      ...base,
      containers: [
        { ...spec.containers[0]!, readinessProbe: undefined },
        { ...container, securityContext: unnamed },
      ],
    };
    await namespace.apply(
      barePod('assigned', assigned, {
        ...isolateMode,
        'podsplit.io/assign-users': 'true',
        'podsplit.io/flows': 'none',
      }),
    );
    await eventually('it runs', async () => {
      expect(isReady(await namespace.get<Pod>('pods', 'assigned'))).to.equal(true);
    });
    const { stdout } = await namespace.exec('assigned', 'cache', ['python3', '-c', 'import os; print(os.getuid())']);
    expect(stdout.trim()).to.equal('64000');
    expect(await call(namespace, 'assigned', 'web', targets(['127.0.0.1'], 'tcp', 6379))).to.deep.equal([undefined]);
    expect((await call(namespace, 'assigned', 'cache', targets(['::1'], 'tcp', 6379))).map(server)).to.deep.equal([
      'cache',
    ]);
  });

  it('is refused with all reasons at once', async () => {
    const refused = await namespace.dryRun(
      barePod(
        'refused',
        {
          hostUsers: false,
          shareProcessNamespace: true,
          containers: [
            { name: 'a', image: 'a' },
            { name: 'b', image: 'b', securityContext: { runAsUser: 0, capabilities: { add: ['SETUID'] } } },
          ],
        },
        isolateMode,
      ),
    );
    expect(refused.status).not.to.equal(0);
    for (const code of [
      'UserMissing',
      'RootUser',
      'PrivilegeEscalation',
      'IdentityCapability',
      'UserNamespace',
      'SharedProcessNamespace',
    ]) {
      expect(refused.output).to.contain(`(${code})`);
    }
  });

  it('a program of the image that bears a capability makes its container any user, but where that is dropped', async () => {
    // Where the Pod Security Standard "restricted" holds all containers drop ALL.
    const free = await TestNamespace.create('bearer');
    await free.apply(bearer('kept', {}), bearer('dropped', { capabilities: { drop: ['ALL'] } }));
    await eventually('it is another user', async () => {
      expect(await free.kubectl(['logs', 'kept', '-c', 'bearer'])).to.equal('I am 1002\n');
    });
    await eventually('it does not start', async () => {
      expect(await free.kubectl(['logs', 'dropped', '-c', 'bearer'])).to.match(/operation not permitted/i);
      const { status } = await free.get<Pod>('pods', 'dropped');
      expect(status.phase).to.equal('Failed');
    });
    const admitted = { allowPrivilegeEscalation: false, runAsUser: 1001 };
    const beside = { name: 'cache', image: 'b', securityContext: { ...admitted, runAsUser: 1002 } };
    const containers = [{ name: 'web', image: 'a', securityContext: admitted }, beside];
    const { status, output } = await free.dryRun(barePod('keeps', { containers }, isolateMode));
    expect(status).not.to.equal(0);
    expect(output)
      .to.contain('spec.containers[0].securityContext.capabilities.drop')
      .and.contain('(IdentityCapability)');
    await free.delete();
  });

  it('moves between the modes by its annotation', async () => {
    await namespace.kubectl([
      'annotate',
      '--overwrite',
      'deployment/web',
      'podsplit.io/mode=split',
      'podsplit.io/flows-',
    ]);
    const [split] = await readySplitPods(namespace, 'web', 1, names);
    const answers = await call(namespace, split!.primary.metadata.name, 'web', targets(['127.0.0.1'], 'tcp', 6379));
    expect(answers.map(server)).to.deep.equal(['cache']);
    await eventually('the network of its isolated Pods is gone', async () => {
      expect((await nads()).filter((name) => /web.*-isolate$/.test(name))).to.deep.equal([]);
    });

    const annotations = ['podsplit.io/mode=isolate', `podsplit.io/flows=${flows}`];
    await namespace.kubectl(['annotate', '--overwrite', 'deployment/web', ...annotations]);
    await eventually('its split Pod is gone', async () => {
      const pods = await namespace.list<Pod>('pods', { labelSelector: 'podsplit.io/role in (primary, sibling)' });
      expect(pods).to.deep.equal([]);
    });
    const again = await isolatedPod(namespace, 'web');
    expect(await outcome(again.metadata.name, attacks, ['127.0.0.1'])).to.deep.equal(attacks.map(() => undefined));
    await eventually('the network and policies of its split Pods are gone', async () => {
      expect((await nads()).filter((name) => name.startsWith('podsplit-web'))).to.have.length(1);
      expect(await namespace.list('networkPolicies')).to.deep.equal([]);
    });
  });

  it('leaks no address and leaves nothing behind', async () => {
    await namespace.kubectl(['delete', '--ignore-not-found', 'deployment/web', 'pod/assigned']);
    await eventually('nothing generated is left', async () => {
      expect(await nads()).to.deep.equal([]);
      expect(await namespace.list('podSplits')).to.deep.equal([]);
    });
    await invariantsHold();
  });

  function insideOf(of: Pod): readonly string[] {
    return ['127.0.0.1', '::1', ...podIPs(of)];
  }

  /** Who answered, in the order of `expected`. */
  async function outcome(name: string, calls: typeof attacks, addresses: readonly string[]) {
    const answers = await Promise.all(
      calls.map(([from, protocol, port]) => call(namespace, name, from, targets(addresses, protocol, port))),
    );
    return answers.flat().map(server);
  }

  async function annotatePod(value: string): Promise<void> {
    await namespace.kubectl(['annotate', '--overwrite', `pod/${pod.metadata.name}`, `podsplit.io/flows=${value}`]);
  }

  async function nads(): Promise<readonly string[]> {
    return (await namespace.list<KubeObject>('networkAttachmentDefinitions')).map(({ metadata }) => metadata.name);
  }

  async function addEphemeral(container: object, as: string) {
    const current = await namespace.get<Pod & { spec: { ephemeralContainers?: readonly object[] } }>(
      'pods',
      pod.metadata.name,
    );
    const spec = { ...current.spec, ephemeralContainers: [...(current.spec.ephemeralContainers ?? []), container] };
    const path = `/api/v1/namespaces/${namespace.name}/pods/${pod.metadata.name}/ephemeralcontainers`;
    return namespace.try(['replace', '--as', as, '--raw', path, '-f', '-'], JSON.stringify({ ...current, spec }));
  }

  async function netnsOf(of: Pod): Promise<string> {
    const script = 'cd /run/podsplit/isolated && cat *.json';
    const text = await onNode(of.spec.nodeName!, ['sh', '-c', script]);
    const found = text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { readonly netns: string; readonly pod: { readonly uid: string } })
      .find((sandbox) => sandbox.pod.uid === of.metadata.uid);
    if (found === undefined) throw new Error('the agent knows no sandbox of it');
    return found.netns.replace(/^.*\//, '');
  }
});

function expected(calls: typeof attacks, addresses: readonly string[]): readonly string[] {
  return calls.flatMap(([, , , answeredBy]) => addresses.map(() => answeredBy));
}

/**
 * Its image, so to speak, has a program with a file capability: an init container, who may, makes one of Python. The kernel's
 * format is struct vfs_cap_data of revision 2 (linux/capability.h); 7 is CAP_SETUID.
 */
function bearer(name: string, securityContext: object): object {
  const image = imageReference('samples');
  const volumeMounts = [{ name: 'image', mountPath: '/image' }];
  const prepare = `
import os, shutil, struct
shutil.copy(os.path.realpath('/usr/bin/python3'), '/image/program')
os.setxattr('/image/program', 'security.capability', struct.pack('<5I', 0x02000001, 1 << 7, 0, 0, 0))
`;
  const run = 'import os; os.setuid(1002); print("I am", os.getuid())';
  return barePod(name, {
    automountServiceAccountToken: false,
    restartPolicy: 'Never',
    initContainers: [
      { name: 'prepare', image, command: ['python3', '-c', prepare], securityContext: { runAsUser: 0 }, volumeMounts },
    ],
    containers: [
      {
        name: 'bearer',
        image,
        command: ['/image/program', '-c', run],
        securityContext: { runAsUser: 1001, allowPrivilegeEscalation: false, ...securityContext },
        volumeMounts,
      },
    ],
    volumes: [{ name: 'image', emptyDir: {} }],
  });
}

const rbac = 'rbac.authorization.k8s.io';
/** The guards let members of system:masters pass: this user is none. */
const editor = [
  {
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    metadata: { name: 'debugger' },
    rules: [{ apiGroups: [''], resources: ['pods', 'pods/ephemeralcontainers'], verbs: ['*'] }],
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: { name: 'debugger' },
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'debugger' },
    subjects: [{ apiGroup: rbac, kind: 'User', name: 'alice' }],
  },
];
