import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { formatFlow } from '../api/flow.ts';
import { formatRefusal, refusalCodes } from '../api/refusal.ts';
import { applyPatch } from './testdata/apply-patch.ts';
import { type Case, corpus, corpusOptions, orphanedGoldens, writeGolden } from './testdata/corpus.ts';
import { asAdmitted } from './admitted.ts';
import { admit, type Admitted } from '../isolate/admit.ts';
import { judge } from '../isolate/judge.ts';
import { markPatch } from '../isolate/mark.ts';
import { cutPatch, cutPod } from './cut.ts';
import { withNamespaceDefaults } from './namespace-defaults.ts';
import type { Plan } from './plan.ts';
import { restore } from './removed.ts';
import { siblingPod } from './sibling.ts';
import { split } from './split.ts';
import { guardToken } from './token.ts';

const cases = corpus();

/** As the API server would have named it. */
function created(pod: IPod): IPod {
  const name = pod.metadata?.name ?? `${pod.metadata?.generateName ?? ''}x7k2p`;
  return { ...pod, metadata: { ...pod.metadata, name, uid: '7d5c1c2e-0f4b-4d55-9d5e-0a1b2c3d4e5f' } };
}

function outcome(pod: IPod, { pod: guarded, judgement: decision }: Admitted): unknown {
  switch (decision.kind) {
    case 'left-alone':
      return { decision: 'left-alone', code: decision.code, message: decision.message };
    case 'refused':
      return { decision: 'refused', refusals: decision.refusals.map(formatRefusal) };
    case 'isolate':
      return {
        decision: 'isolate',
        containers: decision.containers,
        flows: decision.flows.map(formatFlow),
        ...(decision.via.length === 0 ? {} : { via: decision.via }),
        reasons: decision.reasons.map((reason) => `${reason.code}: ${reason.path}: ${reason.message}`),
        patch: markPatch(guarded, decision, pod),
      };
    case 'split': {
      const primary = created(cutPod(pod, decision, corpusOptions));
      return {
        decision: 'split',
        network: decision.network,
        install: decision.install,
        flows: decision.flows.map(formatFlow),
        ...(decision.via.length === 0 ? {} : { via: decision.via }),
        ...(decision.ingressVia === undefined ? {} : { ingressVia: decision.ingressVia }),
        facade: decision.facade.map((port) => `${port.container} ${port.port}/${port.protocol}`),
        reasons: decision.reasons.map((reason) => `${reason.piece}: ${reason.code}: ${reason.path}: ${reason.message}`),
        primary,
        siblings: decision.siblings.map((piece) =>
          siblingPod({
            primary,
            plan: decision,
            piece,
            workloadKey: 'a1b2c3d4e5f6',
            wiring: undefined,
            networks: undefined,
            owner: true,
            gated: true,
            options: corpusOptions,
          }),
        ),
      };
    }
  }
}

/** As admission decides, which is told the namespace's labels. */
function admittedAs({ created, labels }: Case): Admitted {
  const given = withNamespaceDefaults(created, labels);
  return given.kind === 'refused' ? { pod: created, judgement: given } : admit(given.pod, corpusOptions);
}

/** What JSON keeps. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe('the corpus of Pods', () => {
  for (const entry of cases) {
    const { name, pod, golden } = entry;
    it(name, () => {
      const actual = plain(outcome(pod, admittedAs(entry)));
      if (process.env['UPDATE_GOLDEN'] === '1') writeGolden(name, actual);
      else expect(actual).to.deep.equal(golden);
    });
  }

  it('has no golden file that nothing produces', () => {
    expect(orphanedGoldens()).to.deep.equal([]);
  });

  it('has at least 40 cases', () => {
    expect(cases.length).to.be.at.least(40);
  });

  it('gives each reason to refuse at least once', () => {
    const given = cases.flatMap((entry) => {
      const { judgement: decision } = admittedAs(entry);
      return decision.kind === 'refused' ? decision.refusals.map((refusal) => refusal.code) : [];
    });
    expect([...new Set(given)].sort()).to.deep.equal(Object.keys(refusalCodes).sort());
  });
});

const splitCases = cases.flatMap((entry): (Case & { guarded: IPod; plan: Plan })[] => {
  const { pod: guarded, judgement } = admit(entry.pod, corpusOptions);
  return judgement.kind === 'split' ? [{ ...entry, guarded, plan: judgement }] : [];
});

describe('of each Pod of the corpus that is split', () => {
  for (const { name, pod, guarded, plan } of splitCases) {
    const cut = cutPod(pod, plan, corpusOptions);

    it(`the patch gives what cutPod gives: ${name}`, () => {
      const patch = cutPatch(pod, plan, corpusOptions);
      expect(applyPatch(plain(pod), plain(patch))).to.deep.equal(plain(cut));
    });

    it(`cutting twice is cutting once: ${name}`, () => {
      const { judgement: again } = admit(cut, corpusOptions);
      if (again.kind !== 'split') throw new Error(JSON.stringify(again));
      expect(plain(cutPod(cut, again, corpusOptions))).to.deep.equal(plain(cut));
      expect(cutPatch(cut, again, corpusOptions)).to.deep.equal([]);
      expect({ ...again, reasons: [] }).to.deep.equal({ ...plan, reasons: [] });
    });

    it(`the running primary is judged as at admission: ${name}`, () => {
      const running: IPod = {
        ...cut,
        metadata: {
          ...cut.metadata,
          uid: 'u',
          labels: { ...cut.metadata?.labels, 'podsplit.io/split': 's', 'podsplit.io/workload': 'w' },
          annotations: {
            ...cut.metadata?.annotations,
            'podsplit.io/wiring': '{}',
            'podsplit.io/nudged': '2026-01-01T00:00:00.000Z',
            'k8s.v1.cni.cncf.io/networks': '[]',
            'k8s.v1.cni.cncf.io/network-status': '[]',
          },
        },
        spec: { ...cut.spec!, nodeName: 'node-1', schedulingGates: [] },
      };
      expect(split(running, corpusOptions).kind).to.equal('refused');
      const again = split(asAdmitted(running), corpusOptions);
      expect({ ...again, reasons: [] }).to.deep.equal({ ...plan, reasons: [] });
    });

    it(`the Pod is whole again: ${name}`, () => {
      const before = restore(guarded);
      const after = restore(cut);
      if (before.kind !== 'whole') throw new Error(JSON.stringify(before));
      const { metadata } = before.pod;
      const annotations = { ...metadata?.annotations, 'podsplit.io/install': plan.install };
      const tokens = guardToken(before.pod, plan.tokenKeepers);
      const recorded = { kind: 'whole', pod: { ...tokens, metadata: { ...metadata, annotations } } };
      expect(plain(normal(after))).to.deep.equal(plain(normal(recorded)));
    });
  }
});

const isolatedCases = cases.flatMap((entry) =>
  admit(entry.pod, corpusOptions).judgement.kind === 'isolate' ? [entry] : [],
);

describe('of each Pod of the corpus that is isolated', () => {
  for (const { name, pod } of isolatedCases) {
    const { pod: guarded, judgement: plan } = admit(pod, corpusOptions);
    if (plan.kind !== 'isolate') throw new Error(name);
    const marked = applyPatch(plain(pod), plain(markPatch(guarded, plan, pod))) as IPod;

    it(`marking twice is marking once: ${name}`, () => {
      const { pod: guardedAgain, judgement: again } = admit(marked, corpusOptions);
      if (again.kind !== 'isolate') throw new Error(JSON.stringify(again));
      expect(markPatch(guardedAgain, again, marked)).to.deep.equal([]);
      expect({ ...again, assigned: [], reasons: [] }).to.deep.equal({ ...plan, assigned: [], reasons: [] });
    });

    it(`the running Pod is judged as at admission: ${name}`, () => {
      const labels = { ...marked.metadata?.labels, 'podsplit.io/split': 's', 'podsplit.io/workload': 'w' };
      const annotations = {
        ...marked.metadata?.annotations,
        'podsplit.io/wiring': '{}',
        'k8s.v1.cni.cncf.io/networks': '[]',
        'k8s.v1.cni.cncf.io/network-status': '[]',
      };
      const spec = { ...marked.spec!, nodeName: 'node-1', schedulingGates: [] };
      const running: IPod = { ...marked, metadata: { ...marked.metadata, labels, annotations }, spec };
      expect(judge(running, corpusOptions).kind).to.equal('refused');
      const again = judge(asAdmitted(running), corpusOptions);
      expect({ ...again, assigned: [], reasons: [] }).to.deep.equal({ ...plan, assigned: [], reasons: [] });
    });

    it(`split mode leaves it to the other: ${name}`, () => {
      expect(split(pod, corpusOptions)).to.include({ kind: 'left-alone', code: 'OtherMode' });
    });
  }
});

/** Empty lists and maps are the same as none, and so is null. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, member]) => [key, normal(member)] as const);
  return Object.fromEntries(entries.filter(([, member]) => member !== null && !isEmptyList(member)));
}

function isEmptyList(value: unknown): boolean {
  return (
    (Array.isArray(value) && value.length === 0) ||
    (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  );
}
