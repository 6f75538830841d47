import { expect } from 'chai';
import type { AdmitOptions } from '../isolate/admit.ts';
import { applyPatch } from '../split/testdata/apply-patch.ts';
import type { AdmissionRequest, Answer } from './review.ts';
import { reviewWorkload } from './workloads.ts';

const options: AdmitOptions = {
  image: 'podsplit:test',
  maxContainers: 8,
  install: { otherwise: 'init', byNetwork: new Map() },
  guards: [],
  resourceDefaults: new Map(),
};

type Annotations = Readonly<Record<string, string>>;
type JsonObject = Record<string, unknown>;

interface Shape {
  readonly kind?: string;
  readonly own?: Annotations;
  /** Left out: the template has no annotations field. */
  readonly template?: Annotations;
  readonly containers?: readonly string[];
  readonly podSpec?: JsonObject;
  readonly metadata?: JsonObject;
  readonly spec?: JsonObject;
}

const split = { 'podsplit.io/mode': 'split' };

function workload(shape: Shape): JsonObject {
  const { kind = 'Deployment', own, template, containers = ['web', 'cache'] } = shape;
  const podTemplate = {
    metadata: { labels: { app: 'web' }, ...(template === undefined ? {} : { annotations: template }) },
    spec: { containers: containers.map((name) => ({ name, image: name })), ...shape.podSpec },
  };
  const spec = kind === 'CronJob' ? { jobTemplate: { spec: { template: podTemplate } } } : { template: podTemplate };
  return {
    kind,
    metadata: { name: 'web', namespace: 'shop', ...(own === undefined ? {} : { annotations: own }), ...shape.metadata },
    spec: { ...spec, ...shape.spec },
  };
}

function review(now: Shape, before?: Shape, request: Partial<AdmissionRequest> = {}, labels: Annotations = {}): Answer {
  return reviewWorkload(
    {
      uid: 'u',
      kind: now.kind ?? 'Deployment',
      operation: before === undefined ? 'CREATE' : 'UPDATE',
      subResource: '',
      namespace: 'shop',
      object: workload(now),
      oldObject: before === undefined ? null : workload(before),
      ...request,
    },
    options,
    labels,
  );
}

/** The template's annotations as they are after the answer. */
function templateAnnotations(now: Shape, answer: Answer): unknown {
  if (answer.kind !== 'allowed') throw new Error(answer.message);
  const { spec } = applyPatch(workload(now), answer.patch) as { spec: JsonObject };
  const holder = (now.kind === 'CronJob' ? (spec['jobTemplate'] as { spec: JsonObject }).spec : spec) as {
    template: { metadata: { annotations?: unknown } };
  };
  return holder.template.metadata.annotations;
}

const copies: readonly {
  readonly name: string;
  readonly now: Shape;
  readonly before?: Shape;
  readonly expect: unknown;
}[] = [
  { name: 'to a template without annotations', now: { own: split }, expect: split },
  {
    name: "beside the template's own",
    now: { own: split, template: { 'prometheus.io/scrape': 'true' } },
    expect: { 'prometheus.io/scrape': 'true', ...split },
  },
  {
    name: 'podsplit.io keys only',
    now: { own: { ...split, 'deployment.kubernetes.io/revision': '3' } },
    expect: split,
  },
  {
    name: 'when a Deployment is annotated',
    now: { own: { ...split, 'podsplit.io/primary': 'cache' } },
    before: {},
    expect: { ...split, 'podsplit.io/primary': 'cache' },
  },
  {
    name: 'a changed value',
    now: {
      own: { ...split, 'podsplit.io/flows': 'none' },
      template: { ...split, 'podsplit.io/flows': 'web->cache:80' },
    },
    before: {
      own: { ...split, 'podsplit.io/flows': 'web->cache:80' },
      template: { ...split, 'podsplit.io/flows': 'web->cache:80' },
    },
    expect: { ...split, 'podsplit.io/flows': 'none' },
  },
  {
    name: 'the install mode where the user set it, and never one of the settings',
    now: { own: { ...split, 'podsplit.io/install': 'init' } },
    expect: { ...split, 'podsplit.io/install': 'init' },
  },
  {
    name: 'a removal',
    now: { own: {}, template: { ...split, team: 'a' } },
    before: { own: split, template: { ...split, team: 'a' } },
    expect: { team: 'a' },
  },
  {
    name: 'no removal of what the template says otherwise',
    now: { own: {}, template: { ...split, 'podsplit.io/primary': 'cache' } },
    before: { own: { 'podsplit.io/primary': 'web' }, template: { ...split, 'podsplit.io/primary': 'cache' } },
    expect: { ...split, 'podsplit.io/primary': 'cache' },
  },
  {
    name: 'again when somebody applies the template without it',
    now: { own: split, template: {}, podSpec: { priority: 1 } },
    before: { own: split, template: split },
    expect: split,
  },
  { name: 'to a CronJob', now: { kind: 'CronJob', own: split }, expect: split },
  { name: 'to a new Job', now: { kind: 'Job', own: split }, expect: split },
  {
    name: 'to a suspended Job',
    now: { kind: 'Job', own: split, spec: { suspend: true } },
    before: { kind: 'Job', spec: { suspend: true } },
    expect: split,
  },
  { name: 'to a StatefulSet', now: { kind: 'StatefulSet', own: split }, expect: split },
  {
    name: 'to a StatefulSet whose claims are volumes of its Pods',
    now: {
      kind: 'StatefulSet',
      own: split,
      podSpec: {
        containers: ['web', 'cache'].map((name) => ({
          name,
          image: `registry.example/${name}:1`,
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        })),
      },
      spec: { volumeClaimTemplates: [{ metadata: { name: 'data' } }] },
    },
    expect: split,
  },
  { name: 'to a DaemonSet', now: { kind: 'DaemonSet', own: split }, expect: split },
  { name: "to somebody's own ReplicaSet", now: { kind: 'ReplicaSet', own: split }, expect: split },
];

describe('review of a workload', () => {
  describe('copies annotations', () => {
    for (const { name, now, before, expect: wanted } of copies) {
      it("judges the template by its namespace's labels, and copies none of them", () => {
        const labels = { 'podsplit.io/mode': 'split' };
        expect(review({}, undefined, {}, labels)).to.deep.include({
          kind: 'allowed',
          decision: 'unchanged',
          patch: [],
        });
        const refused = review({ podSpec: { hostPID: true } }, undefined, {}, labels);
        expect(refused).to.deep.include({ kind: 'denied', codes: ['HostNamespace'] });
        expect(review({ podSpec: { hostPID: true }, containers: ['web'] }, undefined, {}, labels).kind).to.equal(
          'allowed',
        );
        const out = { own: { 'podsplit.io/mode': 'none' }, podSpec: { hostPID: true } };
        expect(review(out, undefined, {}, labels)).to.deep.include({ kind: 'allowed', warnings: [] });
        const wrong = review({}, undefined, {}, { 'podsplit.io/mode': 'x' });
        expect(wrong.kind === 'denied' ? wrong.message : '').to.contain(
          'podsplit: namespace.metadata.labels[podsplit.io/mode]: Mode "x" is not known.',
        );
      });

      it('takes an annotation for no idle one where the namespace says the mode', () => {
        const own = { 'podsplit.io/flows': 'none' };
        const warningsOf = (labels: Annotations): string => {
          const answer = review({ own }, undefined, {}, labels);
          return answer.kind === 'allowed' ? answer.warnings.join() : answer.message;
        };
        expect(warningsOf({})).to.contain('NoMode');
        expect(warningsOf({ 'podsplit.io/mode': 'split' })).not.to.contain('NoMode');
      });

      it(name, () => {
        expect(templateAnnotations(now, review(now, before))).to.deep.equal(wanted);
      });
    }

    it('once: what comes back is not touched again', () => {
      const now: Shape = { own: split, template: split };
      expect(review(now, { own: split })).to.deep.include({ decision: 'unchanged', patch: [] });
    });

    it('and says when it replaced what the template said', () => {
      const answer = review({ own: split, template: { 'podsplit.io/mode': 'isolate' } });
      expect(answer).to.have.property('kind', 'allowed');
      expect(answer)
        .to.have.property('warnings')
        .that.satisfies((texts: string[]) => /TemplateAnnotationReplaced/.test(texts.join()));
    });
  });

  describe('refuses', () => {
    it('what split() refuses, with the path in the workload', () => {
      const answer = review({ own: { ...split, 'podsplit.io/primary': 'wbe' }, podSpec: { hostNetwork: true } }, {});
      if (answer.kind !== 'denied') throw new Error('was allowed');
      expect(answer.status).to.equal(422);
      expect(answer.message).to.include('metadata.annotations[podsplit.io/primary]');
      expect(answer.message).not.to.include('template.metadata');
      expect(answer.message).to.include('spec.template.spec.hostNetwork');
    });

    it("a CronJob's template by its own path", () => {
      const answer = review({ kind: 'CronJob', own: split, podSpec: { hostPID: true } });
      expect(answer).to.have.property('message').that.includes('spec.jobTemplate.spec.template.spec.hostPID');
    });

    it('an annotation that it does not know', () => {
      const answer = review({ own: { ...split, 'podsplit.io/flow': 'none' } });
      expect(answer).to.deep.include({ kind: 'denied', codes: ['UnknownAnnotation'] });
    });

    it('a running Job in clear words', () => {
      const answer = review({ kind: 'Job', own: split }, { kind: 'Job' });
      if (answer.kind !== 'denied') throw new Error('was allowed');
      expect(answer.message).to.include('podsplit.io/mode').and.to.include('suspended');
    });

    it('a Job that runs and is suspended in the same update', () => {
      const answer = review({ kind: 'Job', own: split, spec: { suspend: true } }, { kind: 'Job' });
      expect(answer).to.deep.include({ kind: 'denied', codes: ['RunningJob'] });
    });
  });

  describe('never stands in the way of', () => {
    const broken: Shape = { own: { 'podsplit.io/mode': 'nonsense' }, template: { 'podsplit.io/mode': 'nonsense' } };
    const cases: readonly { readonly name: string; readonly now: Shape; readonly before: Shape }[] = [
      { name: 'scaling', now: { ...broken, spec: { replicas: 5 } }, before: { ...broken, spec: { replicas: 1 } } },
      {
        name: "the Deployment controller's revision",
        now: { ...broken, own: { ...broken.own, 'deployment.kubernetes.io/revision': '2' } },
        before: broken,
      },
      { name: 'the end of an object', now: { ...broken, metadata: { finalizers: [] } }, before: broken },
      {
        name: 'an annotation from before podsplit was installed',
        now: { own: split, spec: { replicas: 2 } },
        before: { own: split },
      },
      {
        name: 'a running Job from before podsplit was installed',
        now: { kind: 'Job', own: split, spec: { parallelism: 2 } },
        before: { kind: 'Job', own: split },
      },
      { name: 'the removal of a broken annotation', now: { own: {}, template: broken.template! }, before: broken },
    ];
    for (const { name, now, before } of cases) {
      it(name, () => {
        expect(review(now, before)).to.have.property('kind', 'allowed');
      });
    }

    it('what a controller made, whatever is on it', () => {
      const ownerReferences = [{ kind: 'Deployment', name: 'web', uid: 'u', controller: true }];
      for (const own of [split, { 'podsplit.io/mode': 'nonsense' }]) {
        const answer = review({ kind: 'ReplicaSet', own, metadata: { ownerReferences } });
        expect(answer).to.deep.include({ kind: 'allowed', decision: 'unchanged', patch: [] });
      }
    });

    it('subresources, other kinds and deletions', () => {
      for (const request of [{ subResource: 'status' }, { kind: 'Service' }, { operation: 'DELETE' }]) {
        expect(review(broken, undefined, request)).to.deep.include({ kind: 'allowed', patch: [] });
      }
    });
  });

  it('warns of annotations that do nothing without a mode', () => {
    const answer = review({ own: { 'podsplit.io/mod': 'split', 'podsplit.io/flows': 'none' } });
    expect(answer).to.have.property('kind', 'allowed');
    expect(answer).to.have.property('warnings').with.length(2);
  });

  it('warns of a single container', () => {
    const answer = review({ own: split, containers: ['web'] });
    expect(answer)
      .to.have.property('warnings')
      .that.satisfies((texts: string[]) => /SingleContainer/.test(texts.join()));
  });
});
