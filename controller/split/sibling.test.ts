import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { Pod } from 'kubernetes-models/v1/Pod';
import { originalLabelKey } from '../api/keys.ts';
import { corpus, corpusOptions } from './testdata/corpus.ts';
import { cutPod } from './cut.ts';
import { formatMap, podIPAnnotations } from './downward-api.ts';
import type { Plan } from './plan.ts';
import { specOf } from './pod.ts';
import { type SiblingInput, siblingPod } from './sibling.ts';
import { split } from './split.ts';

function siblingsOf(pod: IPod, input: Partial<SiblingInput> = {}): IPod[] {
  const plan = split(pod, corpusOptions);
  if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));
  const primary = cutPod(pod, plan, corpusOptions);
  return plan.siblings.map((piece: Plan['primary']) =>
    siblingPod({
      primary,
      plan,
      piece,
      workloadKey: 'a1b2c3d4e5f6',
      wiring: undefined,
      networks: undefined,
      owner: true,
      gated: true,
      options: corpusOptions,
      ...input,
    }),
  );
}

function podNamed(name: string, more: object = {}): IPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: 'u-1', annotations: { 'podsplit.io/mode': 'split' } },
    spec: {
      containers: [
        { name: 'a', image: 'a' },
        { name: 'b', image: 'b', env: [{ name: 'UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } }] },
      ],
      ...more,
    },
  };
}

describe('siblingPod', () => {
  for (const { name, pod } of corpus().filter((entry) => split(entry.pod, corpusOptions).kind === 'split')) {
    it(`makes Pods that the API's schema takes: ${name}`, () => {
      const named = { ...pod, metadata: { ...pod.metadata, name: pod.metadata?.name ?? 'generated' } };
      for (const sibling of siblingsOf(named)) new Pod(sibling).validate();
    });
  }

  it('is given no token where the guard holds, whatever has become of the primary', () => {
    const automount = (guards: string, primary: boolean | undefined): unknown => {
      const { metadata, ...pod } = podNamed('web');
      const annotations = { ...metadata?.annotations, 'podsplit.io/guards': guards };
      const guarded = { ...pod, metadata: { ...metadata, annotations } };
      const plan = split(guarded, corpusOptions);
      if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));
      const cut = cutPod(guarded, plan, corpusOptions);
      const { automountServiceAccountToken: _said, ...others } = specOf(cut);
      const spec = primary === undefined ? others : { ...others, automountServiceAccountToken: primary };
      const [sibling] = siblingsOf(guarded, { primary: { ...cut, spec } });
      return specOf(sibling!).automountServiceAccountToken;
    };
    for (const primary of [true, false, undefined]) {
      expect(automount('token', primary), String(primary)).to.equal(false);
      expect(automount('none', primary), String(primary)).to.equal(primary);
    }
  });

  it('makes a native sidecar a Pod that restarts it, and that outlives the others', () => {
    const spec = {
      restartPolicy: 'Never',
      initContainers: [{ name: 's', image: 's', restartPolicy: 'Always', startupProbe: { exec: { command: ['up'] } } }],
    };
    const outlives = [{ name: 'web-b', uid: 'u-2' }];
    const [b, s] = siblingsOf(podNamed('web', spec), { outlives });
    expect(b?.spec?.restartPolicy).to.equal('Never');
    expect(b?.metadata?.annotations).not.to.have.property('podsplit.io/sidecar');
    expect(s?.spec?.restartPolicy).to.equal('Always');
    expect(s?.spec?.containers).to.deep.equal([{ name: 's', image: 's', startupProbe: { exec: { command: ['up'] } } }]);
    expect(s?.metadata?.annotations).to.have.property('podsplit.io/sidecar', '0');
    expect(s?.metadata?.ownerReferences?.map(({ name, controller }) => [name, controller])).to.deep.equal([
      ['web', true],
      ['web-b', undefined],
    ]);
  });

  it('writes the annotations it is given, and an owner and a gate only when told', () => {
    const [sibling] = siblingsOf(podNamed('web'), { wiring: '{}', networks: '[]', owner: false, gated: false });
    expect(sibling?.metadata?.annotations).to.deep.equal({
      'cluster-autoscaler.kubernetes.io/safe-to-evict': 'true',
      'podsplit.io/wiring': '{}',
      'k8s.v1.cni.cncf.io/networks': '[]',
    });
    expect(sibling?.metadata).to.not.have.property('ownerReferences');
    expect(sibling?.spec).to.not.have.property('schedulingGates');
  });

  it("leaves it to the primary whether the cluster autoscaler may take its node, and when the Pod's time is up", () => {
    const pod = podNamed('web', { activeDeadlineSeconds: 30, priorityClassName: 'low' });
    const annotations = { ...pod.metadata?.annotations, 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false' };
    const kept = { ...pod, metadata: { ...pod.metadata, annotations } };
    const plan = split(kept, corpusOptions);
    if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));
    const primary = cutPod(kept, plan, corpusOptions);
    expect(primary.metadata?.annotations?.['cluster-autoscaler.kubernetes.io/safe-to-evict']).to.equal('false');
    expect(primary.spec).to.include({ activeDeadlineSeconds: 30 });
    const [sibling] = siblingsOf(kept);
    expect(sibling?.metadata?.annotations?.['cluster-autoscaler.kubernetes.io/safe-to-evict']).to.equal('true');
    expect(sibling?.spec).to.include({ priorityClassName: 'low' });
    expect(sibling?.spec).to.not.have.property('activeDeadlineSeconds');
  });

  it("reads its own UID where nobody knows the primary's", () => {
    const pod = podNamed('web');
    const { uid: _uid, ...metadata } = pod.metadata ?? {};
    const [sibling] = siblingsOf({ ...pod, metadata }, { owner: true });
    expect(specOf(sibling!).containers[0]?.env?.[0]?.valueFrom?.fieldRef?.fieldPath).to.equal('metadata.uid');
    expect(sibling?.metadata).to.not.have.property('ownerReferences');
  });

  const hostnames: readonly [string, IPod, object][] = [
    ["the Pod's name", podNamed('web-0'), { hostname: 'web-0' }],
    ['cut as the kubelet does', podNamed(`${'w'.repeat(62)}-x`), { hostname: 'w'.repeat(62) }],
    ['given', podNamed('web-0', { hostname: 'given' }), { hostname: 'given' }],
    ['overridden', podNamed('web-0', { hostnameOverride: 'o.example' }), { hostnameOverride: 'o.example' }],
    ['with dots', podNamed('web.v2'), { hostnameOverride: 'web.v2' }],
    ['with dots, as FQDN', podNamed('web.v2', { setHostnameAsFQDN: true }), {}],
  ];
  for (const [title, pod, expected] of hostnames) {
    it(`has the hostname of the whole Pod: ${title}`, () => {
      const { hostname, hostnameOverride } = specOf(siblingsOf(pod)[0]!);
      expect({ ...(hostname && { hostname }), ...(hostnameOverride && { hostnameOverride }) }).to.deep.equal(expected);
    });
  }
});

describe('originalLabelKey', () => {
  it('keeps the domain, under another', () => {
    expect(originalLabelKey('app')).to.equal('label.podsplit.io/app');
    expect(originalLabelKey('k8s.io/app')).to.equal('k8s.io.label.podsplit.io/app');
  });

  it('stays a valid key for a domain of any length', () => {
    const long = Array.from({ length: 28 }, () => 'd1234567').join('.');
    const [domain = '', name] = originalLabelKey(`${long}.x/app`).split('/');
    expect(domain.length).to.be.at.most(253);
    expect(name).to.equal('app');
    expect(originalLabelKey(`${long}.x/app`)).to.not.equal(originalLabelKey(`${long}.y/app`));
  });
});

describe('formatMap', () => {
  it('prints as the kubelet does', () => {
    expect(formatMap({ b: '1', 'a/x': 'two "words"\n\\', c: '' })).to.equal(
      'a/x="two \\"words\\"\\n\\\\"\nb="1"\nc=""',
    );
  });

  it("escapes as Go's %q", () => {
    expect(formatMap({ k: 'é€😀\u0000\u007f\u00a0\u200b\u{e0001}\u0007\v' })).to.equal(
      'k="é€😀\\x00\\x7f\\u00a0\\u200b\\U000e0001\\a\\v"',
    );
  });
});

describe('podIPAnnotations', () => {
  it("has the kubelet's formats", () => {
    expect(podIPAnnotations(['192.0.2.1', '2001:db8::1'])).to.deep.equal({
      'podsplit.io/pod-ip': '192.0.2.1',
      'podsplit.io/pod-ips': '192.0.2.1,2001:db8::1',
    });
    expect(podIPAnnotations([])).to.deep.equal({});
  });
});
