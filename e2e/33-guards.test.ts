// The guard of the token, and the labels by which a namespace speaks for its Pods.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { imageReference } from '../hack/images/recipes.ts';
import { agentProgram, agents, barePod, restricted, splitMode, succeeded } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { isolatedPod, isolateMode, withUsers } from './support/isolated.ts';
import { invariantsHold } from './support/invariants.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import type { Pod } from './support/objects.ts';
import { isReady, readySplitPods } from './support/pieces.ts';

const names = ['app', 'operator', 'helper'];
const guards = { 'podsplit.io/guards': 'token' };
const kept = { 'podsplit.io/token': 'operator' };
const program = readFileSync(join(import.meta.dirname, 'support/whoami.py'), 'utf8');

const { automountServiceAccountToken: _notSaid, ...base } = withUsers(
  agents({
    app: [{ protocol: 'tcp', bind: '::', port: 7001, declared: true }],
    operator: [{ protocol: 'tcp', bind: '::', port: 7002, declared: true }],
    helper: [{ protocol: 'tcp', bind: '::', port: 7003, declared: true }],
  }),
  { app: 1001, operator: 1002, helper: 1003 },
);

/** Its init container tells by its last words whether it has a token. */
const spec = {
  ...base,
  initContainers: [
    {
      name: 'setup',
      image: imageReference('samples'),
      command: [
        'python3',
        '-c',
        "import os; open('/dev/termination-log', 'w').write(str(os.path.exists(os.sys.argv[1])))",
      ],
      args: ['/var/run/secrets/kubernetes.io/serviceaccount/token'],
      resources: { requests: { cpu: '5m', memory: '16Mi' } },
      securityContext: { ...restricted, runAsUser: 1004 },
    },
  ],
};

interface Me {
  readonly user: string;
  readonly pod: string;
  readonly namespace: string;
}

interface WithVolumes {
  readonly spec: {
    readonly automountServiceAccountToken?: boolean;
    readonly volumes?: readonly { readonly name: string }[];
    readonly initContainers?: readonly Container[];
    readonly containers: readonly Container[];
  };
  readonly status: {
    readonly initContainerStatuses: readonly {
      readonly state: { readonly terminated: { readonly message: string } };
    }[];
  };
}

interface Container {
  readonly name: string;
  readonly volumeMounts?: readonly { readonly name: string }[];
}

describe('guards', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('guards', { 'pod-security.kubernetes.io/enforce': 'restricted', ...guards });
    await namespace.apply(
      agentProgram,
      barePod('whole', spec),
      barePod('split', spec, { ...splitMode, ...kept }),
      barePod('nobody', spec, splitMode),
      barePod('open', spec, { ...splitMode, 'podsplit.io/guards': 'none' }),
      barePod('isolated', spec, { ...isolateMode, ...kept }),
    );
    await ready(namespace, 'whole');
  });

  after(() => TestNamespace.deleteAll());

  async function ready(where: TestNamespace, name: string): Promise<Pod> {
    return eventually(`${name} is ready`, async () => {
      const pod = await where.get<Pod>('pods', name);
      expect(isReady(pod)).to.equal(true);
      return pod;
    });
  }

  /** By container: the Pod that the API server knows its token to be bound to. */
  async function tokens(pods: ReadonlyMap<string, string>): Promise<Readonly<Record<string, string | undefined>>> {
    const found = await Promise.all(
      [...pods].map(async ([container, pod]): Promise<[string, string | undefined]> => {
        const me = JSON.parse(succeeded(await namespace.exec(pod, container, ['python3', '-c', program]))) as Me | null;
        if (me === null) return [container, undefined];
        expect(me).to.include({
          user: `system:serviceaccount:${namespace.name}:default`,
          namespace: namespace.name,
        });
        return [container, me.pod];
      }),
    );
    return Object.fromEntries(found);
  }

  async function tokensOfPieces(name: string) {
    const [found] = await readySplitPods(namespace, name, 1, names);
    const pods = new Map([...found!.pieces].map(([container, pod]) => [container, pod.metadata.name]));
    return { pods, tokens: await tokens(pods) };
  }

  async function setupHadToken(name: string): Promise<string | undefined> {
    const { status } = await namespace.get<WithVolumes>('pods', name);
    return status.initContainerStatuses[0]?.state.terminated.message;
  }

  it('in a Pod without podsplit every container calls the API as the Pod', async () => {
    expect(await tokens(new Map(names.map((name) => [name, 'whole'])))).to.deep.equal({
      app: 'whole',
      operator: 'whole',
      helper: 'whole',
    });
    expect(await setupHadToken('whole')).to.equal('True');
  });

  it('split, only the container that is named has a token, bound to its own piece', async () => {
    const { pods, tokens } = await tokensOfPieces('split');
    expect(tokens).to.deep.equal({ app: undefined, operator: pods.get('operator'), helper: undefined });
    expect(await setupHadToken('split')).to.equal('False');
  });

  it('split, nobody has one where nobody is named, and no piece has a volume of it', async () => {
    const { pods, tokens } = await tokensOfPieces('nobody');
    expect(tokens).to.deep.equal({ app: undefined, operator: undefined, helper: undefined });
    for (const name of pods.values()) {
      const { spec } = await namespace.get<WithVolumes>('pods', name);
      expect(spec.automountServiceAccountToken, name).to.equal(false);
      expect(
        (spec.volumes ?? []).map((volume) => volume.name),
        name,
      ).to.deep.equal(['agent-source']);
    }
  });

  it('split, every container has one where the annotation takes the guard away', async () => {
    const { pods, tokens } = await tokensOfPieces('open');
    expect(tokens).to.deep.equal(Object.fromEntries(pods));
    expect(await setupHadToken('open')).to.equal('True');
  });

  it('isolated, only the container that is named has a token', async () => {
    const pod = await isolatedPod(namespace, 'isolated');
    const all = new Map(names.map((name) => [name, pod.metadata.name]));
    expect(await tokens(all)).to.deep.equal({ app: undefined, operator: 'isolated', helper: undefined });
    expect(await setupHadToken('isolated')).to.equal('False');
    const { spec } = await namespace.get<WithVolumes>('pods', 'isolated');
    const mounting = [...(spec.initContainers ?? []), ...spec.containers].filter(({ volumeMounts = [] }) =>
      volumeMounts.some(({ name }) => name === 'podsplit-token'),
    );
    expect(mounting.map(({ name }) => name)).to.deep.equal(['operator']);
  });

  it('refuses names and guards that there are not, with what there is', async () => {
    for (const [annotations, said] of [
      [{ 'podsplit.io/token': 'operater' }, 'Did you mean "operator"?'],
      [{ 'podsplit.io/guards': 'tokens' }, 'Did you mean "token"?'],
    ] as const) {
      const refused = await namespace.dryRun(barePod('refused', spec, { ...splitMode, ...annotations }));
      expect(refused.status).not.to.equal(0);
      expect(refused.output).to.contain(said);
    }
  });

  it('warns whoever applies a container that seems to call the API', async () => {
    const [app, ...others] = spec.containers;
    const calling = { ...app!, env: [...app!.env, { name: 'MASTER', value: 'https://kubernetes.default.svc' }] };
    const pod = barePod('calling', { ...spec, containers: [calling, ...others] }, splitMode);
    expect((await namespace.dryRun(pod)).output).to.contain('AsksForToken');
  });

  it('leaves nothing behind that it should not', () => invariantsHold());
});

describe('labels of a namespace', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('labels', {
      'pod-security.kubernetes.io/enforce': 'restricted',
      'podsplit.io/mode': 'split',
      ...guards,
    });
    const { containers, volumes } = spec;
    await namespace.apply(
      agentProgram,
      barePod('silent', spec),
      barePod('out', spec, { 'podsplit.io/mode': 'none' }),
      barePod('other', spec, isolateMode),
      barePod('single', { containers: containers.slice(0, 1), volumes }),
    );
  });

  after(() => TestNamespace.deleteAll());

  it('opt in Pods that say nothing', async () => {
    const [found] = await readySplitPods(namespace, 'silent', 1, names);
    expect(found?.primary.metadata.annotations).to.include({ 'podsplit.io/mode': 'split', ...guards });
  });

  it('leave Pods that opt out, or have one container, as they are', async () => {
    for (const [name, count] of [
      ['out', names.length],
      ['single', 1],
    ] as const) {
      const pod = await eventually(`${name} runs`, async () => {
        const found = await namespace.get<Pod>('pods', name);
        expect(isReady(found)).to.equal(true);
        return found;
      });
      expect(pod.spec.containers).to.have.length(count);
      expect(pod.metadata.labels).to.deep.equal({ app: name });
    }
  });

  it('let no Pod in that has several containers and that the webhook was not asked about', async () => {
    // It is not asked about siblings. An administrator may make one by hand; nobody else may (32-tampering.test.ts).
    const unasked = (one: ReturnType<typeof barePod>) => ({
      ...one,
      metadata: { ...one.metadata, labels: { 'podsplit.io/role': 'sibling' } },
    });
    const { containers, volumes } = spec;
    const several = await namespace.dryRun(unasked(barePod('several', spec)));
    expect(several.status).not.to.equal(0);
    expect(several.output).to.contain('podsplit-judged').and.to.contain('podsplit has not judged it');
    succeeded(await namespace.dryRun(unasked(barePod('one', { containers: containers.slice(0, 1), volumes }))));
  });

  it('do not overrule what a Pod says', async () => {
    expect((await isolatedPod(namespace, 'other')).spec.containers).to.have.length(names.length);
  });

  it('say at once what a workload would be refused for', async () => {
    const refused = await namespace.dryRun({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'refused' },
      spec: {
        selector: { matchLabels: { app: 'refused' } },
        template: { metadata: { labels: { app: 'refused' } }, spec: { ...spec, shareProcessNamespace: true } },
      },
    });
    expect(refused.status).not.to.equal(0);
    expect(refused.output).to.contain('SharedProcessNamespace');
  });

  it('count for Pods that are made after them', async () => {
    const silent = barePod('late', spec);
    await kubectl(['label', 'namespace', namespace.name, 'podsplit.io/mode-']);
    // API servers look at namespaces by a watch as well.
    await eventually('the label is gone', async () => {
      const made = await namespace.dryRun(silent, '-o', 'json');
      expect((JSON.parse(succeeded(made)) as Pod).spec.containers).to.have.length(names.length);
    });
    const [before] = await readySplitPods(namespace, 'silent', 1, names);
    expect(before).not.to.equal(undefined);
  });

  for (const label of ['podsplit.io/mode=Split', 'podsplit.io/guards=token.tokens', 'podsplit.io/other=x']) {
    it(`are refused where nobody knows what is meant: ${label}`, async () => {
      const refused = await namespace.try(['label', 'namespace', namespace.name, '--overwrite', label]);
      expect(refused.status).not.to.equal(0);
      expect(refused.output).to.contain(`metadata.labels`).and.to.contain('remove');
    });
  }

  it('are not taken by the namespaces that podsplit needs itself', async () => {
    for (const name of ['kube-system', 'podsplit-system', 'podsplit-node']) {
      const refused = await namespace.try(['label', '--dry-run=server', 'namespace', name, 'podsplit.io/mode=split']);
      expect(refused.output, name).to.contain('not on this namespace');
    }
  });
});
