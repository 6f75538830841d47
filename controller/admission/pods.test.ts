import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { cutPod } from '../split/cut.ts';
import { admit, type AdmitOptions } from '../isolate/admit.ts';
import { applyPatch } from '../split/testdata/apply-patch.ts';
import { corpus, corpusOptions } from '../split/testdata/corpus.ts';
import { reviewPod } from './pods.ts';
import type { AdmissionRequest } from './review.ts';
import { formatReview, parseReview } from './review.ts';

const options: AdmitOptions = {
  image: 'podsplit:test',
  maxContainers: 8,
  install: { otherwise: 'init', byNetwork: new Map() },
  guards: [],
  resourceDefaults: new Map(),
};

function creation(object: unknown): AdmissionRequest {
  return {
    uid: 'u',
    kind: 'Pod',
    operation: 'CREATE',
    subResource: '',
    namespace: 'shop',
    object,
    oldObject: undefined,
  };
}

function pod(annotations: Record<string, string>, ...containers: string[]): IPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'web-', namespace: 'shop', annotations },
    spec: { containers: containers.map((name) => ({ name, image: name })) },
  };
}

const mode = { 'podsplit.io/mode': 'split' };

describe('review of a Pod', () => {
  it('cuts an annotated Pod', () => {
    const object = pod(mode, 'web', 'cache');
    const answer = reviewPod(creation(object), options);
    if (answer.kind !== 'allowed') throw new Error(answer.message);
    expect(answer.decision).to.equal('split');
    const cut = applyPatch(object, answer.patch) as IPod;
    expect(cut.spec?.containers.map(({ name }) => name)).to.deep.equal(['web']);
    expect(cut.spec?.schedulingGates).to.deep.equal([{ name: 'podsplit.io/network' }]);
  });

  const nodeByDefault: AdmitOptions = { ...options, install: { otherwise: 'node', byNetwork: new Map() } };
  const cutBy = (object: IPod, by: AdmitOptions): IPod => {
    const answer = reviewPod(creation(object), by);
    if (answer.kind !== 'allowed') throw new Error(answer.message);
    return applyPatch(object, answer.patch) as IPod;
  };

  it('records the install mode on the Pod, and keeps it when it is asked again by other settings', () => {
    const cut = cutBy(pod(mode, 'web', 'cache'), nodeByDefault);
    expect(cut.metadata?.annotations).to.include({ 'podsplit.io/install': 'node' });
    expect(cut.spec).to.not.have.any.keys('initContainers', 'volumes');
    expect(cutBy(cut, options)).to.deep.equal(cut);
    const old = cutBy(pod(mode, 'web', 'cache'), options);
    expect(cutBy(old, nodeByDefault)).to.deep.equal(old);
  });

  it('asks the annotation first, then the SplitNetwork, then the default', () => {
    const byNetwork = new Map([['default', 'init' as const]]);
    const by: AdmitOptions = { ...options, install: { otherwise: 'node', byNetwork } };
    const modeOf = (annotations: Record<string, string>) =>
      cutBy(pod({ ...mode, ...annotations }, 'web', 'cache'), by).metadata?.annotations?.['podsplit.io/install'];
    expect(modeOf({ 'podsplit.io/install': 'node' })).to.equal('node');
    expect(modeOf({})).to.equal('init');
    expect(modeOf({ 'podsplit.io/network': 'other' })).to.equal('node');
  });

  it('takes a Pod that was cut before there were two modes for what it carries', () => {
    const cut = cutBy(pod(mode, 'web', 'cache'), options);
    const { 'podsplit.io/install': _recorded, ...annotations } = cut.metadata?.annotations ?? {};
    const unrecorded = { ...cut, metadata: { ...cut.metadata, annotations } };
    expect(cutBy(unrecorded, nodeByDefault)).to.deep.equal(cut);
  });

  it('merges a sidecar that a later webhook added to the cut Pod', () => {
    const object = pod(mode, 'web', 'cache');
    const first = reviewPod(creation(object), options);
    if (first.kind !== 'allowed') throw new Error(first.message);
    const cut = applyPatch(object, first.patch) as IPod;
    const late = {
      ...cut,
      spec: { ...cut.spec, containers: [...cut.spec!.containers, { name: 'mesh', image: 'mesh' }] },
    };
    const second = reviewPod(creation(late), options);
    if (second.kind !== 'allowed') throw new Error(second.message);
    const merged = applyPatch(late, second.patch) as IPod;
    expect(merged.spec?.containers.map(({ name }) => name)).to.deep.equal(['web']);
    expect(merged.metadata?.annotations?.['podsplit.io/removed']).to.include('"mesh"').and.to.include('"cache"');
    expect(merged.spec?.initContainers).to.have.length(1);
  });

  it('says all that is wrong at once', () => {
    const object = pod(
      { ...mode, 'podsplit.io/primary': 'wbe', 'podsplit.io/flows': 'web->cache:99999' },
      'web',
      'cache',
    );
    const answer = reviewPod(creation({ ...object, spec: { ...object.spec, hostNetwork: true } }), options);
    if (answer.kind !== 'denied') throw new Error('was allowed');
    expect(answer.status).to.equal(422);
    expect(answer.codes).to.include.members(['UnknownContainer', 'InvalidFlow', 'HostNamespace']);
    expect(answer.message).to.include('metadata.annotations[podsplit.io/primary]').and.to.include('spec.hostNetwork');
  });

  it('forbids what only podsplit may write', () => {
    const answer = reviewPod(
      creation(pod({ ...mode, 'podsplit.io/removed': '{"version":1}' }, 'web', 'cache')),
      options,
    );
    expect(answer).to.deep.include({ kind: 'denied', status: 403, codes: ['ForgedAnnotation'] });
  });

  it('leaves a single container whole, says so, and marks the Pod for the controller to see', () => {
    const object = pod(mode, 'web');
    const answer = reviewPod(creation(object), options);
    if (answer.kind !== 'allowed') throw new Error(answer.message);
    expect(answer.warnings.join()).to.include('SingleContainer');
    const marked = applyPatch(object, answer.patch) as IPod;
    expect(marked.metadata?.labels).to.deep.equal({ 'podsplit.io/role': 'whole' });
    const again = reviewPod(creation(marked), options);
    expect(again).to.deep.include({ kind: 'allowed', patch: [] });
  });

  it('leaves a Pod alone that did not opt in', () => {
    const answer = reviewPod(creation(pod({}, 'web', 'cache')), options);
    expect(answer).to.deep.include({ kind: 'allowed', decision: 'left-alone', patch: [] });
  });

  it('writes on the Pod what its namespace says, and says nothing of Pods that it does not concern', () => {
    const labels = { 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'none' };
    const inNamespace = (object: IPod, labels: Readonly<Record<string, string>>): IPod => {
      const answer = reviewPod(creation(object), options, labels);
      if (answer.kind !== 'allowed') throw new Error(answer.message);
      if (answer.decision === 'left-alone') expect(answer.warnings).to.deep.equal([]);
      return applyPatch(object, answer.patch) as IPod;
    };
    const plain = pod({}, 'web', 'cache');
    const bare = { ...plain, metadata: { name: 'web' } };
    for (const object of [plain, bare]) {
      const cut = inNamespace(object, labels);
      expect(cut.spec?.containers).to.have.length(1);
      expect(cut.metadata?.annotations).to.include(labels);
      // Asked again, for a later webhook changed something: also once the namespace says something else.
      expect(inNamespace(cut, labels)).to.deep.equal(cut);
      expect(inNamespace(cut, {})).to.deep.equal(cut);
    }
    for (const object of [pod({}, 'web'), pod({ 'podsplit.io/mode': 'none' }, 'web', 'cache')]) {
      expect(inNamespace(object, labels)).to.deep.equal(object);
    }
    expect(inNamespace(plain, { 'podsplit.io/mode': 'none' })).to.deep.equal(plain);
  });

  it('splits a Pod that had one container when its namespace was asked, and was given another since', () => {
    const labels = { 'podsplit.io/mode': 'split' };
    const first = reviewPod(creation(pod({}, 'web')), options, labels);
    expect(first).to.deep.include({ kind: 'allowed', patch: [] });
    const second = reviewPod(creation(pod({}, 'web', 'mesh')), options, labels);
    expect(second).to.deep.include({ kind: 'allowed', decision: 'split' });
  });

  it("refuses opted-in Pods where the namespace's labels do not read", () => {
    const guards = { 'podsplit.io/guards': 'toke' };
    const refused = { kind: 'denied', status: 422, codes: ['InvalidNamespaceLabel'] };
    expect(reviewPod(creation(pod(mode, 'web', 'cache')), options, guards)).to.deep.include(refused);
    expect(reviewPod(creation(pod({}, 'web', 'cache')), options, { 'podsplit.io/mode': 'x' })).to.deep.include(refused);
    const own = { ...mode, 'podsplit.io/guards': 'none' };
    expect(reviewPod(creation(pod(own, 'web', 'cache')), options, guards).kind).to.equal('allowed');
    expect(reviewPod(creation(pod({}, 'web', 'cache')), options, guards)).to.deep.include({ patch: [] });
  });

  for (const [name, request] of [
    ['an UPDATE', { operation: 'UPDATE' }],
    ['a subresource', { subResource: 'ephemeralcontainers' }],
  ] as const) {
    it(`has nothing to do with ${name}`, () => {
      const answer = reviewPod({ ...creation(pod(mode, 'web', 'cache')), ...request }, options);
      expect(answer).to.deep.include({ kind: 'allowed', decision: 'unchanged', patch: [] });
    });
  }

  for (const object of [null, undefined, 7, [], {}, { metadata: null }, { metadata: { annotations: mode } }]) {
    it(`does not throw at ${JSON.stringify(object) || 'nothing'}`, () => {
      expect(reviewPod(creation(object), options).kind).to.be.oneOf(['allowed', 'denied']);
    });
  }
});

/** The webhook makes the same decision as the CLI and the controller, here through the JSON of a whole review. */
describe('review of the corpus', () => {
  for (const { name, created: object, labels, pod, golden } of corpus()) {
    it(name, () => {
      const review = {
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        request: { ...creation(object), kind: { kind: 'Pod' } },
      };
      const parsed = parseReview(JSON.stringify(review));
      if (parsed.kind === 'invalid') throw new Error(parsed.message);
      const answer = formatReview('u', reviewPod(parsed.request, corpusOptions, labels)) as Answered;
      expect(outcomeOf(object, answer)).to.deep.equal(wantedOf(pod, golden as Golden));
    });
  }
});

interface Answered {
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly warnings?: readonly string[];
    readonly status?: { readonly message: string };
  };
}

interface Golden {
  readonly decision: 'split' | 'isolate' | 'refused' | 'left-alone';
  readonly patch?: readonly unknown[];
  readonly code?: string;
  readonly refusals?: readonly string[];
}

interface Outcome {
  readonly allowed: boolean;
  readonly pod?: unknown;
  readonly said: readonly string[];
}

function outcomeOf(object: IPod, { response }: Answered): Outcome {
  if (!response.allowed) return { allowed: false, said: splitLines(response.status?.message ?? '') };
  const patch: unknown = JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString('utf8') || '[]');
  return { allowed: true, pod: applyPatch(object, patch), said: [] };
}

function splitLines(message: string): readonly string[] {
  return message
    .split('\n')
    .map((line) => line.replace(/^(podsplit:| {2}-) ?/, ''))
    .filter((line) => line !== '');
}

function wantedOf(object: IPod, golden: Golden): Outcome {
  if (golden.decision === 'refused') return { allowed: false, said: golden.refusals ?? [] };
  if (golden.decision === 'isolate') {
    return { allowed: true, pod: applyPatch(object, golden.patch ?? []), said: [] };
  }
  if (golden.decision === 'split') {
    const { judgement: plan } = admit(object, corpusOptions);
    if (plan.kind !== 'split') throw new Error('the golden file is stale');
    return { allowed: true, pod: JSON.parse(JSON.stringify(cutPod(object, plan, corpusOptions))), said: [] };
  }
  const labels = { ...object.metadata?.labels, 'podsplit.io/role': 'whole' };
  const marked = { ...object, metadata: { ...object.metadata, labels } };
  return { allowed: true, pod: golden.code === 'SingleContainer' ? marked : object, said: [] };
}
