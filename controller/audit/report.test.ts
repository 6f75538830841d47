import { expect } from 'chai';
import fc from 'fast-check';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { isolate } from '../isolate/isolate.ts';
import { cutPod } from '../split/cut.ts';
import { siblingPod } from '../split/sibling.ts';
import { split } from '../split/split.ts';
import { splittableByNode } from '../split/testdata/arbitrary-pod.ts';
import { corpus } from '../split/testdata/corpus.ts';
import { auditPod, type Candidate } from './audit-pod.ts';
import { audit } from './report.ts';
import { counted } from './testdata/counted.ts';
import { audited, auditOptions, candidate, careful } from './testdata/pods.ts';

const made = { at: '2026-01-02T03:04:05.000Z', by: 'podsplit test', from: 'a test', without: [] };

function reportOf(candidates: readonly Candidate[]) {
  return audit(candidates, made, () => auditOptions).report;
}

function live(pod: object, name = 'web'): Candidate {
  return {
    ...candidate([]),
    workload: { namespace: 'shop', kind: 'Deployment', name },
    pod: { ...pod },
    facts: { admitted: true, accountMountsToken: true, egressPolicies: [] },
  };
}

function pod(name: string, more: object = {}): IPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: `uid-${name}` },
    spec: { containers: [careful('a', 1, { ports: [{ containerPort: 80 }] }), careful('b', 2)], ...more },
  };
}

describe('the report of the audit', () => {
  it('has one row for a hundred replicas, and another for those that differ', () => {
    const alike = Array.from({ length: 100 }, (_, index) =>
      live(pod(`web-${index}`, { nodeName: `node-${index % 7}` })),
    );
    const report = reportOf([...alike, live(pod('web-new', { shareProcessNamespace: true }))]);
    expect(report.workloads.map(({ id, pods, example }) => [id, pods, example])).to.deep.equal([
      ['shop/deployment/web#2', 1, 'web-new'],
      ['shop/deployment/web', 100, 'web-0'],
    ]);
    expect(report.summary.pods).to.equal(101);
    // The node that it is on is no reason to refuse a Pod that runs.
    expect(report.workloads.at(-1)?.split.verdict).to.equal('possible');
  });

  it('puts the gravest first, and names the rules and techniques that it found', () => {
    const report = reportOf([live(pod('mild'), 'mild'), live(pod('grave', { hostNetwork: true }), 'grave')]);
    expect(report.workloads.map(({ name }) => name)).to.deep.equal(['grave', 'mild']);
    expect(report.rules.map(({ id }) => id))
      .to.include('HostNetwork')
      .and.not.to.include('Privileged');
    const named = new Set(report.workloads.flatMap(({ findings }) => findings.flatMap(({ techniques }) => techniques)));
    expect(new Set(report.techniques.map(({ id }) => id))).to.deep.equal(named);
  });

  it('judges a split Pod by its whole, once, and says what is closed', () => {
    const whole = pod('web', {});
    const annotated = { ...whole, metadata: { ...whole.metadata, annotations: { 'podsplit.io/mode': 'split' } } };
    const plan = split(annotated, auditOptions);
    if (plan.kind !== 'split') throw new Error(plan.kind);
    const primary = cutPod(annotated, plan, auditOptions);
    const wired: IPod = {
      ...primary,
      metadata: {
        ...primary.metadata,
        labels: { ...primary.metadata?.labels, 'podsplit.io/split': 'x' },
        annotations: {
          ...primary.metadata?.annotations,
          'podsplit.io/wiring': '{}',
          'k8s.v1.cni.cncf.io/networks': '[]',
        },
      },
      spec: { ...primary.spec!, nodeName: 'node-1' },
    };
    const [piece] = plan.siblings;
    const sibling = siblingPod({
      primary,
      plan,
      piece: piece!,
      workloadKey: 'key',
      wiring: '{}',
      networks: '[]',
      owner: true,
      gated: false,
      options: auditOptions,
    });
    const report = reportOf([live(wired), live(sibling)]);
    const before = audited(live(whole));
    const [row] = report.workloads;
    expect(report.workloads).to.have.length(1);
    expect(row?.mode).to.equal('split');
    expect(row?.split.refusals).to.deep.equal([]);
    expect(row?.findings.map(({ now: _now, ...rest }) => rest)).to.deep.equal(
      before.findings.map(({ now: _now, ...rest }) => rest),
    );
    for (const { now, split: effect } of row?.findings ?? []) {
      expect(now).to.equal(effect.effect === 'stays' ? 'open' : effect.effect);
    }
    expect(report.summary.closed).to.equal(
      row?.findings.filter(({ split: effect }) => effect.effect === 'closed').length,
    );
  });

  it('knows an isolated Pod by its label, and that an annotation alone does nothing', () => {
    const annotations = { 'podsplit.io/mode': 'isolate' };
    const given = pod('web');
    const labelled = {
      ...given,
      metadata: { ...given.metadata, annotations, labels: { 'podsplit.io/role': 'isolated' } },
    };
    expect(audited(live(labelled)).mode).to.equal('isolate');
    const missed = audited(live({ ...given, metadata: { ...given.metadata, annotations } }));
    expect(missed.mode).to.equal('none');
    expect(missed.notes.join()).to.contain("did not meet podsplit's webhook");
    expect(missed.findings.every(({ now }) => now === 'open')).to.equal(true);
  });

  it('takes an annotated manifest for what would become of it, unless it is refused', () => {
    const containers = [careful('a', 1), careful('b', 2)];
    const annotations = { 'podsplit.io/mode': 'split' };
    expect(audited(candidate(containers, { annotations })).mode).to.equal('split');
    const refused = audited(candidate(containers, { annotations, hostPID: true }));
    expect(refused.mode).to.equal('none');
    expect(refused.notes).to.include('It is annotated podsplit.io/mode=split, and would be refused.');
    expect(refused.split.refusals.map(({ code }) => code)).to.deep.equal(['HostNamespace']);
  });

  it('says who would not be called any more', () => {
    const notes = audited(candidate([careful('a', 1, { ports: [{ containerPort: 80 }] }), careful('b', 2)])).notes;
    expect(notes).to.deep.equal([
      'In either mode nobody calls b unless podsplit.io/flows says so: no port is declared there.',
    ]);
  });

  it('leaves out what has one container, is a piece, or runs on Windows, and says what is no Pod', () => {
    const report = reportOf([
      candidate([careful('a', 1)]),
      candidate([careful('a', 1), careful('b', 2)], { os: { name: 'windows' } }),
      candidate([]),
      { ...candidate([]), pod: { spec: { containers: [{ name: 'Not A Label' }, 7] } } },
    ]);
    expect(report.workloads).to.be.empty;
    expect(report.summary).to.include({ single: 1, windows: 1 });
    expect(report.unreadable).to.have.length(2);
  });

  it('agrees with the decisions of either mode, and never throws', () => {
    for (const { name, pod: given } of corpus()) {
      const said = auditPod({ ...candidate([]), pod: { ...given } }, auditOptions);
      // One that was cut is judged as the whole that it was.
      if (said.kind !== 'audited' || given.metadata?.annotations?.['podsplit.io/removed'] !== undefined) continue;
      const annotated = (mode: string): IPod => ({
        ...given,
        metadata: { ...given.metadata, annotations: { ...given.metadata?.annotations, 'podsplit.io/mode': mode } },
      });
      expect(said.audit.isolate.verdict === 'refused', name).to.equal(
        isolate(annotated('isolate'), auditOptions).kind === 'refused',
      );
      expect(said.audit.split.verdict === 'refused', name).to.equal(
        split(annotated('split'), auditOptions).kind === 'refused',
      );
    }
  });

  it('finds of any Pod that is split: every finding is about containers of it, and has reasons, fields and techniques', () => {
    fc.assert(
      fc.property(splittableByNode, (given) => {
        const {
          containers,
          findings,
          split: { verdict },
        } = audited({ ...candidate([]), pod: { ...given } });
        expect(verdict).to.equal('possible');
        const names = new Set(containers.map(({ name }) => name));
        for (const finding of findings) {
          expect(names.has(finding.actor)).to.equal(true);
          expect(finding.evidence.length * finding.techniques.length * finding.victims.length).to.be.above(0);
          for (const victim of finding.victims) {
            if (victim.kind === 'container')
              expect(names.has(victim.name) && victim.name !== finding.actor).to.equal(true);
          }
        }
        // The order of what is found is part of the answer.
        expect(
          JSON.stringify(
            audited({ ...candidate([]), pod: structuredClone(given) as object as Candidate['pod'] }).findings,
          ),
        ).to.equal(JSON.stringify(findings));
      }),
      { numRuns: 50 },
    );
  });

  it('reads twice as much of twice the Pods', () => {
    const readsOf = (count: number): number => {
      const reads = { count: 0 };
      const candidates = Array.from({ length: count }, (_, index) =>
        counted(live(pod(`web-${index}`), index % 2 === 0 ? 'web' : `web-${index}`), reads),
      );
      expect(reportOf(candidates).summary.pods).to.equal(count);
      return reads.count;
    };
    const once = readsOf(100);
    expect(once).to.be.above(1000);
    expect(readsOf(200) / once).to.be.within(1.9, 2.1);
  });
});
