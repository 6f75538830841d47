// What containers share on disk and in memory, whole and split side by side in a namespace of the restricted standard; and
// whoever names a volume that is not theirs.

import { expect } from 'chai';
import { runNode, startKubectl } from '../hack/demo/command.ts';
import { clone } from '../hack/cluster/paths.ts';
import { imageReference } from '../hack/images/recipes.ts';
import { ownAnnotations, ownLabels, volumeDriver } from '../controller/api/names.ts';
import { barePod, splitMode, succeeded } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { restartAgent } from './support/node-agent.ts';
import { onNode } from './support/node.ts';
import { podIPs, type Event, type Pod } from './support/objects.ts';
import { eventOf, isReady, readySplitPods, type SplitPod } from './support/pieces.ts';
import { asUser, rights } from './support/tampering.ts';

const containers = ['app', 'shipper', 'viewer'] as const;
type Name = (typeof containers)[number];

const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
const restricted = {
  automountServiceAccountToken: false,
  terminationGracePeriodSeconds: 1,
  securityContext: { runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000, seccompProfile: { type: 'RuntimeDefault' } },
};

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
  readonly subPath?: string;
}

function container(name: string, volumeMounts: readonly Mount[], script = 'exec sleep infinity', runAsUser = 1000) {
  return {
    name,
    image: imageReference('samples'),
    command: ['bash', '-c', script],
    securityContext: { ...securityContext, runAsUser },
    volumeMounts,
  };
}

/** An init container fills a volume with a secret, the app writes logs to a subPath, and the viewer is another user. */
const sharing = {
  ...restricted,
  initContainers: [container('fetch', [{ name: 'fetched', mountPath: '/out' }], 'umask 077; echo secret > /out/key')],
  containers: [
    container('app', [
      { name: 'logs', mountPath: '/logs', subPath: 'app' },
      { name: 'memory', mountPath: '/memory' },
      { name: 'own', mountPath: '/own' },
    ]),
    container('shipper', [
      { name: 'logs', mountPath: '/logs', readOnly: true },
      { name: 'memory', mountPath: '/memory' },
      { name: 'fetched', mountPath: '/fetched' },
    ]),
    container('viewer', [{ name: 'fetched', mountPath: '/fetched' }], undefined, 1001),
  ],
  volumes: [
    { name: 'logs', emptyDir: { sizeLimit: '16Mi' } },
    { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '8Mi' } },
    { name: 'fetched', emptyDir: {} },
    { name: 'own', emptyDir: {} },
  ],
};

/** In this order, and what each prints of what it sees. Errors are what a program would see too. */
const steps: readonly (readonly [Name, string])[] = [
  ['app', 'for d in /logs /memory /own; do stat -c "%n %F %a %u %g" $d; done'],
  ['app', 'echo line > /logs/log && echo m > /memory/m && stat -c "%n %a %u %g" /logs/log /memory/m'],
  ['shipper', 'for d in /logs /logs/app /memory /fetched; do stat -c "%n %F %a %u %g" $d; done'],
  ['shipper', 'cat /logs/app/log /memory/m /fetched/key; echo answer > /memory/answer'],
  ['shipper', 'echo no > /logs/app/no'],
  ['app', 'cat /memory/answer; df -B1 --output=fstype,size /memory'],
  ['app', 'head -c 9000000 /dev/zero > /memory/large; rm /memory/large'],
  [
    'viewer',
    'stat -c "%n %a %u %g" /fetched/key; cat /fetched/key; echo v > /fetched/v; stat -c "%a %u %g" /fetched/v',
  ],
  ['viewer', 'ls -d /logs /memory /own'],
];

describe('volumes that containers share', () => {
  let namespace: TestNamespace;
  let split: SplitPod;

  const podOf = (name: Name): string => split.pieces.get(name)!.metadata.name;
  const run = (name: Name, script: string) => namespace.exec(podOf(name), name, ['bash', '-c', script]);
  const nodeOf = (): string => split.primary.spec.nodeName!;
  const foldersOn = async (node: string): Promise<readonly string[]> =>
    (await onNode(node, ['ls', '/var/lib/podsplit/volumes'])).split('\n').filter((name) => name !== '');

  before(async () => {
    namespace = await TestNamespace.create('volumes', { 'pod-security.kubernetes.io/enforce': 'restricted' });
    await namespace.apply(
      barePod('whole', sharing),
      barePod('split', sharing, { ...splitMode, 'podsplit.io/flows': 'none' }),
      ...rights,
    );
    [split] = (await readySplitPods(namespace, 'split', 1, containers)) as readonly [SplitPod];
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/whole', patience]);
  });

  after(() => TestNamespace.deleteAll());

  for (const [name, script] of steps) {
    it(`${name} sees what it saw in one Pod: ${script}`, async () => {
      // Both streams in one, so that their order is the program's.
      const together = `exec 2>&1; ${script}`;
      const whole = await namespace.exec('whole', name, ['bash', '-c', together]);
      const apart = await run(name, together);
      expect({ status: apart.status, stdout: apart.stdout }).to.deep.equal({
        status: whole.status,
        stdout: whole.stdout,
      });
    });
  }

  it('is what the steps above say: shared, read-only where it was, of the size that it had, of the group', async () => {
    expect(succeeded(await run('shipper', 'cat /logs/app/log /memory/m /fetched/key'))).to.equal('line\nm\nsecret\n');
    expect((await run('shipper', 'echo no > /logs/app/no')).output).to.contain('Read-only file system');
    expect((await run('app', 'head -c 9000000 /dev/zero > /memory/l')).output).to.contain('No space left on device');
    succeeded(await run('app', 'rm /memory/l'));
    expect(succeeded(await run('app', 'stat -c %g /logs/log'))).to.equal('2000\n');
    expect((await run('viewer', 'cat /fetched/key')).output).to.contain('Permission denied');
  });

  it('gives each piece the volumes that its container mounts, and only shared ones by the driver', () => {
    const volumesOf = (name: Name) => (split.pieces.get(name)! as PodWithVolumes).spec.volumes.map(kindOf).sort();
    expect(volumesOf('app')).to.deep.equal(['fetched csi', 'logs csi', 'memory csi', 'own emptyDir']);
    expect(volumesOf('shipper')).to.deep.equal(['fetched csi', 'logs csi', 'memory csi']);
    expect(volumesOf('viewer')).to.deep.equal(['fetched csi']);
  });

  describe('of others', () => {
    const volume = { name: 'logs', csi: { driver: volumeDriver, volumeAttributes: { volume: 'logs' } } };
    const thief = (more: object = {}) => ({
      ...restricted,
      containers: [container('shipper', [{ name: 'logs', mountPath: '/logs' }], 'cat /logs/app/log')],
      volumes: [volume],
      ...more,
    });

    /** What the driver says to a Pod that the guards would not let in: an administrator passes them. */
    async function refusedMount(pod: object, name: string): Promise<string> {
      await namespace.apply(pod);
      const { message } = await eventOf(namespace, 'FailedMount', 'Pod', name);
      expect((await namespace.get<Pod>('pods', name)).status.phase).to.equal('Pending');
      await namespace.kubectl(['delete', 'pod', name, '--wait=true', patience]);
      return message;
    }

    it('are read by who has the volume in his Pod: its own shipper', async () => {
      expect(succeeded(await run('shipper', 'cat /logs/app/log'))).to.equal('line\n');
    });

    it('are named by nobody but podsplit', async () => {
      const ended = await namespace.dryRun(barePod('thief', thief()), ...asUser);
      expect(ended.output).to.contain(`volumes of the driver ${volumeDriver} are set by podsplit only`);
      const alone = await namespace.dryRun(
        barePod('thief', { ...thief(), volumes: [{ name: 'logs', emptyDir: {} }] }),
        ...asUser,
      );
      expect(alone.status, 'the Pod is good without it').to.equal(0);
    });

    it('are not named by a Pod that is to be split', async () => {
      const second = container('second', []);
      const pod = barePod('thief', thief({ containers: [...thief().containers, second] }), splitMode);
      const ended = await namespace.dryRun(pod, ...asUser);
      expect(ended.output).to.contain('(ReservedName)');
    });

    it('are mounted into no Pod that the controller did not make', async () => {
      const where = { nodeName: nodeOf() };
      const message = await refusedMount(barePod('thief', thief(where)), 'thief');
      expect(message).to.contain('is no piece of a split Pod').and.to.contain('(NotVerified)');
    });

    it('are mounted into no Pod that forges all that a sibling carries', async () => {
      const { metadata } = split.pieces.get('shipper')!;
      const forged = barePod('forged', thief({ nodeName: nodeOf() }));
      const message = await refusedMount(
        {
          ...forged,
          metadata: {
            name: 'forged',
            labels: metadata.labels,
            annotations: { [ownAnnotations.wiring]: metadata.annotations![ownAnnotations.wiring] },
            ownerReferences: metadata.ownerReferences,
          },
        },
        'forged',
      );
      expect(message).to.contain('is not a sibling of the Pod that owns it').and.to.contain('(NotVerified)');
    });

    it('are mounted into no piece whose container does not mount them', async () => {
      // The viewer's sibling made anew with one volume more: as if the controller had been talked into it.
      const { metadata, spec } = await namespace.get<PodWithVolumes>('pods', podOf('viewer'));
      const greedy = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: metadata.name,
          labels: metadata.labels,
          annotations: { [ownAnnotations.wiring]: metadata.annotations![ownAnnotations.wiring] },
          ownerReferences: metadata.ownerReferences,
        },
        spec: {
          ...restricted,
          nodeName: spec.nodeName,
          containers: [container('viewer', [{ name: 'logs', mountPath: '/logs' }])],
          volumes: [volume],
        },
      };
      await namespace.kubectl(['delete', 'pod', metadata.name, '--wait=true', patience]);
      const message = await refusedMount(greedy, metadata.name);
      expect(message).to.contain('container viewer of Pod').and.to.contain('(NotShared)');
    });

    it('are failed by no agent, but a Pod on its own node that was split', async () => {
      const account = ['--as=system:serviceaccount:podsplit-node:podsplit-agent', '--as-group=system:authenticated'];
      const asAgent = (node: string): readonly string[] => [
        ...account,
        `--as-user-extra=authentication.kubernetes.io/node-name=${node}`,
      ];
      // Server-side apply patches without reading first, as the driver does, who has no right to read a status.
      const write = ['--server-side', '--force-conflicts', '--subresource=status', '--validate=false'];
      const tell = (name: string, status: object, who: readonly string[], metadata: object = {}) => {
        const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, status };
        return namespace.try(['apply', '-f', '-', ...write, '--dry-run=server', ...who], JSON.stringify(pod));
      };
      const { name } = split.primary.metadata;
      // Where this annotation is, kubectl writes it anew with whatever it applies.
      await namespace.kubectl(['annotate', 'pod', name, 'kubectl.kubernetes.io/last-applied-configuration-']);
      const own = asAgent(nodeOf());
      const target = { type: 'DisruptionTarget', status: 'True', reason: 'SizeLimitExceeded', message: 'no' };
      const condition = { ...target, lastTransitionTime: '2026-01-02T03:04:05Z' };
      const evicted = { phase: 'Failed', reason: 'Evicted', message: 'no', conditions: [condition] };
      const allowed = await tell(name, evicted, own);
      expect(allowed.status, allowed.output).to.equal(0);
      for (const who of [account, asAgent(`not-${nodeOf()}`)]) {
        expect((await tell(name, evicted, who)).output).to.contain('of Pods on its own node only');
      }
      const notSplit = await tell(
        'whole',
        evicted,
        asAgent((await namespace.get<Pod>('pods', 'whole')).spec.nodeName!),
      );
      expect(notSplit.output).to.contain('may fail the primary of a split Pod');
      const notFailed = await tell(name, { message: 'all is well' }, own);
      expect(notFailed.output).to.contain('may fail the primary of a split Pod');
      const nothingElse: readonly (readonly [object, object])[] = [
        [evicted, { labels: { app: 'another' } }],
        [evicted, { annotations: { 'example.com/note': 'by the agent' } }],
        [{ ...evicted, podIP: '192.0.2.1', podIPs: [{ ip: '192.0.2.1' }] }, {}],
        [{ ...evicted, conditions: [condition, { ...condition, type: 'Ready' }] }, {}],
        [{ ...evicted, conditions: [{ ...condition, reason: 'PreemptionByScheduler' }] }, {}],
      ];
      for (const [status, metadata] of nothingElse) {
        const ended = await tell(name, status, own, metadata);
        expect(ended.output, JSON.stringify({ status, metadata })).to.contain('when it fails a Pod, the agent');
      }
    });
  });

  describe('over the life of their Pod', () => {
    const app = 'lasting';

    before(async () => {
      await namespace.apply(barePod(app, sharing, { ...splitMode, 'podsplit.io/flows': 'none' }));
      [split] = (await readySplitPods(namespace, app, 1, containers)) as readonly [SplitPod];
      succeeded(await run('app', 'echo line > /logs/log; echo m > /memory/m'));
    });

    it('stay while the agent is replaced, and are let go by the next one', async () => {
      const node = nodeOf();
      await restartAgent(node);
      succeeded(await run('app', 'echo more >> /logs/log; echo more >> /memory/m'));
      expect(succeeded(await run('shipper', 'cat /logs/app/log /memory/m'))).to.equal('line\nmore\nm\nmore\n');
    });

    it('stay for a shipper that is still shutting down when the app has ended', async () => {
      const logs = [{ name: 'logs', mountPath: '/logs' }];
      const untilThere = (file: string): string => `until [ -e /logs/${file} ]; do sleep 0.1; done`;
      const ending = {
        ...restricted,
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 60,
        containers: [
          container('app', logs, `${untilThere('go')}; echo last > /logs/last`),
          container(
            'shipper',
            logs,
            `trap '${untilThere('ship')}; cat /logs/last; exit' TERM; while :; do sleep 0.1; done`,
          ),
        ],
        volumes: [{ name: 'logs', emptyDir: {} }],
      };
      await namespace.apply(barePod('ending', ending, { ...splitMode, 'podsplit.io/flows': 'none' }));
      const [{ primary, pieces }] = (await readySplitPods(namespace, 'ending', 1, ['app', 'shipper'])) as readonly [
        SplitPod,
      ];
      const shipped = startKubectl(['-n', namespace.name, 'logs', '-f', pieces.get('shipper')!.metadata.name]);
      succeeded(await namespace.exec('ending', 'app', ['touch', '/logs/go']));
      const node = primary.spec.nodeName!;
      const { uid } = primary.metadata;
      await eventually('the app has ended, and its own mount is gone', async () => {
        expect((await namespace.get<Pod>('pods', 'ending')).status.phase).to.equal('Succeeded');
        expect(await onNode(node, ['cat', '/proc/self/mountinfo'])).not.to.contain(
          `/pods/${uid}/volumes/kubernetes.io~csi/`,
        );
      });
      await onNode(node, ['touch', `/var/lib/podsplit/volumes/${uid}/logs/data/ship`]);
      expect((await shipped.ended).stdout).to.equal('last\n');
      await eventually('the directory is gone', async () => {
        expect(await foldersOn(node)).not.to.include(uid);
      });
    });

    it('stay while their Pod runs, though the only pieces that share them have ended', async () => {
      const scratch = [{ name: 'scratch', mountPath: '/scratch' }];
      const apart = {
        ...restricted,
        restartPolicy: 'Never',
        containers: [
          container('app', []),
          container('first', scratch, 'echo first > /scratch/result'),
          container('second', scratch, 'until [ -e /scratch/result ]; do sleep 0.1; done'),
        ],
        volumes: [{ name: 'scratch', emptyDir: {} }],
      };
      await namespace.apply(barePod('apart', apart, { ...splitMode, 'podsplit.io/flows': 'none' }));
      const pods = await eventually('both have ended', async () => {
        const found = (await namespace.list<Pod>('pods')).filter(({ metadata }) => metadata.name.startsWith('apart'));
        const siblings = found.filter(({ metadata }) => metadata.labels?.[ownLabels.role] === 'sibling');
        expect(siblings.map(({ status }) => status.phase)).to.deep.equal(['Succeeded', 'Succeeded']);
        return found;
      });
      const { metadata, spec } = pods.find(({ metadata }) => metadata.name === 'apart')!;
      const node = spec.nodeName!;
      await eventually('nobody mounts it', async () => {
        const mounts = await onNode(node, ['cat', '/proc/self/mountinfo']);
        for (const { metadata } of pods)
          expect(mounts).not.to.contain(`/pods/${metadata.uid}/volumes/kubernetes.io~csi/`);
      });
      // A driver that starts looks for what it has to remove.
      await restartAgent(node);
      const result = `/var/lib/podsplit/volumes/${metadata.uid}/scratch/data/result`;
      expect(await onNode(node, ['cat', result])).to.equal('first\n');
      await namespace.kubectl(['delete', 'pod', 'apart', '--wait=true', patience]);
      await eventually('the directory is gone', async () => {
        expect(await foldersOn(node)).not.to.include(metadata.uid);
      });
    });

    it('end their Pod when they exceed their sizeLimit, as the kubelet ends a whole one', async () => {
      const fill = 'head -c 20000000 /dev/zero > /logs/large; sync';
      await Promise.all([namespace.exec('whole', 'app', ['bash', '-c', fill]), run('app', fill)]);
      const message = 'Usage of EmptyDir volume "logs" exceeds the limit "16Mi". ';
      const evicted = (pod: string): Promise<Event> =>
        eventually(
          `${pod} is evicted`,
          async () => {
            expect((await namespace.get<Pod>('pods', pod)).status.phase).to.equal('Failed');
            return eventOf(namespace, 'Evicted', 'Pod', pod);
          },
          200_000,
        );
      const events = await Promise.all([evicted('whole'), evicted(split.primary.metadata.name)]);
      expect(events.map((event) => event.message.trim())).to.deep.equal([message.trim(), message.trim()]);
      const { conditions } = (await namespace.get<Pod>('pods', app)).status;
      expect(conditions?.find(({ type }) => type === 'DisruptionTarget')?.message).to.equal(message);
      await eventually('the siblings are gone', async () => {
        expect(
          await namespace.list('pods', {
            labelSelector: `${ownLabels.split}=${split.primary.metadata.labels![ownLabels.split]!},${ownLabels.role}=sibling`,
          }),
        ).to.have.length(0);
      });
    });

    it("end their Pod when they take more than the containers' limits on ephemeral storage together", async () => {
      const limited = (name: string) => ({
        ...container(name, [{ name: 'logs', mountPath: '/logs' }]),
        resources: { limits: { 'ephemeral-storage': '8Mi' } },
      });
      const volumes = [{ name: 'logs', emptyDir: {} }];
      const filling = { ...restricted, containers: ['app', 'shipper'].map(limited), volumes };
      await namespace.apply(
        barePod('filling', filling, { ...splitMode, 'podsplit.io/flows': 'none' }),
        barePod('filling-whole', filling),
      );
      await readySplitPods(namespace, 'filling', 1, ['app', 'shipper']);
      await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/filling-whole', patience]);
      for (const pod of ['filling', 'filling-whole']) {
        succeeded(await namespace.exec(pod, 'app', ['bash', '-c', 'head -c 20000000 /dev/zero > /logs/large; sync']));
      }
      const messages = await Promise.all(
        ['filling', 'filling-whole'].map((pod) =>
          eventually(
            `${pod} is evicted`,
            async () => {
              expect((await namespace.get<Pod>('pods', pod)).status.phase).to.equal('Failed');
              return (await eventOf(namespace, 'Evicted', 'Pod', pod)).message.trim();
            },
            200_000,
          ),
        ),
      );
      const message = 'Pod ephemeral local storage usage exceeds the total limit of containers 16Mi.';
      expect(messages).to.deep.equal([message, message]);
      await namespace.kubectl(['delete', 'pod', 'filling', 'filling-whole', '--wait=true', patience]);
    });

    it('are gone with it: directory, tmpfs and mounts', async () => {
      const node = nodeOf();
      const { uid } = split.primary.metadata;
      await namespace.kubectl(['delete', 'pod', app, 'split', '--wait=true', patience]);
      await eventually('the directory is gone', async () => {
        expect(await foldersOn(node)).not.to.include(uid);
      });
      expect(await onNode(node, ['cat', '/proc/self/mountinfo'])).not.to.contain(uid);
    });

    // The last, since it takes everything off a node.
    it('keep what is on disk when their node boots, and lose what is in memory, as those of one Pod', async () => {
      const node = nodeOf();
      const there = { ...sharing, nodeSelector: { 'kubernetes.io/hostname': node } };
      await namespace.apply(
        barePod('boots', there, { ...splitMode, 'podsplit.io/flows': 'none' }),
        barePod('boots-whole', there),
      );
      [split] = (await readySplitPods(namespace, 'boots', 1, containers)) as readonly [SplitPod];
      await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/boots-whole', patience]);
      const ofBoth = (script: string) =>
        Promise.all(['boots', 'boots-whole'].map((pod) => namespace.exec(pod, 'app', ['bash', '-c', script])));
      for (const ended of await ofBoth('echo line > /logs/log; echo m > /memory/m')) succeeded(ended);
      const whole = await namespace.get<Pod>('pods', 'boots-whole');
      const { status, output } = await runNode([`${clone}/hack/cluster/node.ts`, 'restart', node]);
      expect(status, output).to.equal(0);
      await eventually(
        'all sandboxes are made anew',
        async () => {
          for (const before of [whole, ...split.pieces.values()]) {
            const now = await namespace.get<Pod>('pods', before.metadata.name);
            expect(podIPs(now)).not.to.deep.equal(podIPs(before));
            expect(isReady(now), now.metadata.name).to.equal(true);
          }
        },
        240_000,
      );
      expect((await ofBoth('cat /logs/log; ls /memory')).map(succeeded)).to.deep.equal(['line\n', 'line\n']);
      succeeded(await run('app', 'echo again > /memory/m'));
      expect(succeeded(await run('shipper', 'cat /logs/app/log /memory/m'))).to.equal('line\nagain\n');
    });

    it('leave nothing behind', () => invariantsHold());
  });
});

interface PodWithVolumes extends Pod {
  readonly spec: Pod['spec'] & { readonly volumes: readonly (object & { readonly name: string })[] };
}

function kindOf(volume: object & { readonly name: string }): string {
  return `${volume.name} ${Object.keys(volume)
    .filter((key) => key !== 'name')
    .join()}`;
}
