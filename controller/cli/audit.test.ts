import { expect } from 'chai';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { audit, type AuditReport } from '../audit/report.ts';
import { ruleIds, rules } from '../audit/rules.ts';
import { reportSchema } from '../audit/schema.ts';
import { counted } from '../audit/testdata/counted.ts';
import { auditOptions, candidate, careful } from '../audit/testdata/pods.ts';
import { violations } from '../audit/testdata/violations.ts';
import type { KubeObject } from '../kube/resources.ts';
import { formatHtml } from './audit-html.ts';
import { formatSarif } from './audit-sarif.ts';
import { formatAudit } from './audit-text.ts';
import { parseManifests } from './manifest-yaml.ts';
import { goldensIn } from './testdata/golden.ts';
import { podsplitAudit, testdata, repository, reportOf, manifests, everything } from './testdata/audit-run.ts';

const expectGolden = goldensIn(testdata);

describe('kubectl podsplit audit', () => {
  for (const manifest of manifests) {
    it(`says of a manifest what was reviewed: ${manifest}`, async () => {
      const ran = await podsplitAudit(['-f', manifest, '-o', 'wide']);
      expectGolden(manifest.replace('.yaml', '.txt'), ran.stdout);
      expect(ran.stderr).to.equal('');
      expect(ran.exitCode).to.equal(0);
    });
  }

  it("says of the repository's example what was reviewed", async () => {
    const ran = await podsplitAudit(['-f', join(repository, 'examples/web/web.yaml'), '-o', 'wide']);
    expectGolden('example-web.txt', ran.stdout);
    expect(ran.exitCode).to.equal(0);
  });

  it('has twenty manifests and more, and no golden file that none of them produces', () => {
    expect(manifests.length).to.be.above(20);
    const produced = [
      ...manifests.map((name) => name.replace('.yaml', '.txt')),
      'example-web.txt',
      'agent-egress-proxy.json',
      'agent-egress-proxy.sarif',
    ];
    expect(
      readdirSync(testdata)
        .filter((name) => !name.endsWith('.yaml'))
        .toSorted(),
    ).to.deep.equal(produced.toSorted());
  });

  it('prints a table, the gravest first, and what was left out', async () => {
    const { stdout } = await podsplitAudit(everything);
    const lines = stdout.split('\n');
    expect(lines[0]).to.match(
      /^NAMESPACE +WORKLOAD +PODS +CONTAINERS +MODE +CRITICAL +HIGH +MEDIUM +LOW +ISOLATE +SPLIT$/,
    );
    expect(lines[1]).to.match(/^datadog +daemonset\/datadog-agent /);
    expect(lines[2]).to.match(/^kube-system +daemonset\/cilium /);
    expect(stdout).to.match(
      /^22 workloads, 22 Pods: \d+ critical, \d+ high, \d+ medium and \d+ low; \d+ closed by the mode in force$/m,
    );
  });

  it('gives findings the severities that the reference says, and all of them somewhere', async () => {
    const found = (await reportOf(everything)).workloads.flatMap(({ findings }) => findings);
    for (const { rule, severity } of found) {
      expect((rules[rule].severities as readonly string[]).includes(severity), `${rule} ${severity}`).to.equal(true);
    }
    const ofManifests = new Set(found.map(({ rule }) => rule));
    expect(ruleIds.filter((id) => !ofManifests.has(id))).to.deep.equal(['HostIPC']);
  });

  it('obeys who wants no colours, and says the same to who does', async () => {
    const plain = (await podsplitAudit([...everything, '-o', 'wide'])).stdout;
    const coloured = (await podsplitAudit([...everything, '-o', 'wide'], { colours: true })).stdout;
    expect(plain).to.equal(stripVTControlCharacters(plain));
    expect(coloured).to.not.equal(plain);
    expect(stripVTControlCharacters(coloured)).to.equal(plain);
  });

  it('prints JSON as its schema says, and the same as YAML', async () => {
    const report = await reportOf(everything);
    expect(violations(reportSchema, report)).to.deep.equal([]);
    const yaml = parseManifests((await podsplitAudit([...everything, '-o', 'yaml'])).stdout);
    expect(yaml).to.deep.equal({ kind: 'documents', documents: [report] });
    // The schema is one that refuses.
    expect(violations(reportSchema, { ...report, kind: 'Other', more: 1 })).to.have.length(2);
    expectGolden(
      'agent-egress-proxy.json',
      (await podsplitAudit(['-f', 'agent-egress-proxy.yaml', '-o', 'json'])).stdout,
    );
  });

  it('fails from the severity on that is asked for, and of no other', async () => {
    const code = async (manifest: string, severity: string) =>
      (await podsplitAudit(['-f', manifest, '--fail-on', severity])).exitCode;
    expect(await code('log-shipper.yaml', 'high')).to.equal(0);
    expect(await code('log-shipper.yaml', 'medium')).to.equal(1);
    expect(await code('host-network.yaml', 'critical')).to.equal(1);
    // All that is high there is closed or lessened by the mode: what is lessened is there still.
    expect(await code('oauth2-proxy.yaml', 'high')).to.equal(0);
    expect(await code('agent-egress-proxy.yaml', 'high')).to.equal(1);
  });

  it('says what cannot be asked', async () => {
    for (const [args, said] of [
      [['-f', 'log-shipper.yaml', '-A'], '-A is about a cluster'],
      [['-f', 'log-shipper.yaml', '-l', 'a=b'], '-l is about a cluster'],
      [['-A', '-n', 'shop'], 'Give one of -n and -A'],
      [['-f', 'nowhere.yaml'], 'Cannot read nowhere.yaml'],
      [['-o', 'pdf'], "'pdf' is invalid"],
      [['--fail-on', 'none'], "'none' is invalid"],
    ] as const) {
      const ran = await podsplitAudit(args);
      expect(ran.stderr).to.contain(said);
      expect(ran.exitCode).to.equal(2);
    }
  });

  it('passes over what is no workload, and names what is none that an API server would take', async () => {
    const stdin = [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' } },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'bad' },
        spec: { containers: [{ name: 'A' }, { name: 'b' }] },
      },
    ]
      .map((object) => JSON.stringify(object))
      .join('\n---\n');
    const ran = await podsplitAudit(['-f', '-'], { stdin });
    expect(ran.stdout).to.equal('');
    expect(ran.stderr).to.contain('No Pod with several containers found in stdin.');
    expect(ran.stderr).to.contain('pod/bad is not judged').and.to.contain('spec.containers[0].name');
    expect(ran.exitCode).to.equal(0);
  });
});

const owner = (kind: string, name: string) => ({ apiVersion: 'apps/v1', kind, name, uid: name, controller: true });
function replica(name: string, more: object, spec: object = {}): KubeObject {
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, ...more },
    spec: { containers: [careful('a', 1), careful('b', 2)], nodeName: 'node-1', ...spec },
    status: { phase: 'Running' },
  };
  return object;
}

describe('the audit of a cluster', () => {
  const ofDeployment = {
    labels: { app: 'web', 'pod-template-hash': '7d9f' },
    ownerReferences: [owner('ReplicaSet', 'web-7d9f')],
  };
  const objects: KubeObject[] = [
    replica('web-7d9f-a', ofDeployment),
    replica('web-7d9f-b', ofDeployment),
    replica('nightly-28-x', { ownerReferences: [owner('Job', 'nightly-28')] }),
    replica('db-0', { ownerReferences: [owner('StatefulSet', 'db')] }),
    replica('done', {}, {}),
    replica('elsewhere', { namespace: 'other' }),
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'nightly-28', namespace: 'shop', ownerReferences: [owner('CronJob', 'nightly')] },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'deny', namespace: 'shop' },
      spec: { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Egress'] },
    } as KubeObject,
  ];
  const all = objects.map((object) =>
    object.metadata.name === 'done' ? { ...object, status: { phase: 'Succeeded' } } : object,
  );

  it('has a row for each workload, and knows Deployments and CronJobs behind what they make', async () => {
    const report = await reportOf([], { objects: all });
    expect(report.workloads.map(({ id, pods }) => `${id} ${pods}`).toSorted()).to.deep.equal([
      'shop/cronjob/nightly 1',
      'shop/deployment/web 2',
      'shop/statefulset/db 1',
    ]);
    expect(report.made.from).to.equal('https://cluster.example, namespace shop');
    const egress = (name: string) =>
      report.workloads.find((row) => row.name === name)?.findings.find(({ rule }) => rule === 'Egress')?.severity;
    expect([egress('web'), egress('db')]).to.deep.equal(['low', 'medium']);
  });

  it('reads the namespaces and the Pods that are asked for', async () => {
    const names = async (...args: string[]) =>
      (await reportOf(args, { objects: all })).workloads.map(({ id }) => id).toSorted();
    expect(await names('-n', 'other')).to.deep.equal(['other/pod/elsewhere']);
    expect(await names('-A')).to.have.length(4);
    expect(await names('-l', 'app=web')).to.deep.equal(['shop/deployment/web']);
  });

  it('answers with what it may read, and says what it may not', async () => {
    const given = {
      objects: all,
      refused: { networkpolicies: 'Forbidden', jobs: 'Forbidden', splitnetworks: 'NotFound' },
    } as const;
    const ran = await podsplitAudit(['-o', 'json'], given);
    const report = JSON.parse(ran.stdout) as AuditReport;
    expect(report.workloads.map(({ id }) => id)).to.include('shop/job/nightly-28');
    expect(report.made.without).to.deep.equal(['jobs', 'networkpolicies']);
    expect(ran.stderr).to.contain('Not read, for you may not: jobs, networkpolicies.');
    expect(ran.exitCode).to.equal(0);
    const none = await podsplitAudit([], { objects: all, refused: { pods: 'Forbidden' } });
    expect(none.stderr).to.contain('You may not list pods in namespace shop');
    expect(none.exitCode).to.equal(2);
  });

  it('says what the label of a namespace means for what runs, and for what will', async () => {
    const shop = (labels: Readonly<Record<string, string>>) =>
      ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } }) as KubeObject;
    const rowOf = async (labels: Readonly<Record<string, string>>, ...args: string[]) => {
      const given = { objects: [...all, shop(labels)] };
      return (await reportOf(args, given)).workloads.find(({ name }) => name === 'db')!;
    };
    for (const args of [[], ['-A']]) {
      const labelled = await rowOf({ 'podsplit.io/mode': 'split' }, ...args);
      expect(labelled.mode).to.equal('none');
      expect(labelled.notes).to.include(
        'Its namespace says podsplit.io/mode=split, which it was made before: it runs whole until it is made anew.',
      );
    }
    const wrong = await rowOf({ 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'tokens' });
    expect(wrong.notes).to.include('Its namespace says podsplit.io/mode=split, and it would be refused.');
    expect(wrong.split.refusals.map(({ code }) => code)).to.deep.equal(['InvalidNamespaceLabel']);
    const hidden = await podsplitAudit([], { objects: all, refused: { namespaces: 'Forbidden' } });
    expect(hidden.stderr).to.contain('Not read, for you may not: namespaces.');

    const manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'db' },
      spec: { containers: [careful('a', 1), careful('b', 2)] },
    };
    const manifests = (labels: Readonly<Record<string, string>>) =>
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [shop(labels), manifest] });
    const modeOf = async (labels: Readonly<Record<string, string>>) =>
      (await reportOf(['-f', '-', '-n', 'shop'], { stdin: manifests(labels) })).workloads[0]?.mode;
    expect(await modeOf({ 'podsplit.io/mode': 'split' })).to.equal('split');
    expect(await modeOf({ 'podsplit.io/mode': 'none' })).to.equal('none');
    expect(await modeOf({})).to.equal('none');
  });

  it('counts what runs before its template where both are read', async () => {
    const template = {
      metadata: { labels: { app: 'web' } },
      spec: { hostPID: true, containers: [{ name: 'a' }, { name: 'b' }] },
    };
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'shop' }, spec: { template } },
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          metadata: { name: 'web-7d9f', namespace: 'shop', ownerReferences: [owner('Deployment', 'web')] },
          spec: { template },
        },
        ...all.slice(0, 2),
      ],
    };
    const report = await reportOf(['-f', '-'], { stdin: JSON.stringify(list) });
    expect(report.workloads.map(({ id, pods }) => `${id} ${pods}`)).to.deep.equal(['shop/deployment/web 2']);
  });
});

describe('what the audit prints', () => {
  it('is twice the work for twice the workloads, in every format', () => {
    const made = { at: '2026-01-02T03:04:05.000Z', by: 'podsplit test', from: 'a test', without: [] };
    const readsOf = (print: (report: AuditReport) => unknown, count: number): number => {
      const candidates = Array.from({ length: count }, (_, index) => ({
        ...candidate([careful('a', 1, { ports: [{ containerPort: 80 }] }), careful('b', 2)]),
        workload: { namespace: 'shop', kind: 'Deployment', name: `web-${index}` },
      }));
      const { report } = audit(candidates, made, () => auditOptions);
      const reads = { count: 0 };
      print({ ...report, workloads: report.workloads.map((row) => counted(row, reads)) });
      return reads.count;
    };
    for (const print of [
      (report: AuditReport) => formatAudit(report, { wide: true, colours: false }),
      (report: AuditReport) => formatHtml(report),
      (report: AuditReport) => formatSarif({ report, origins: new Map() }, []),
    ]) {
      const once = readsOf(print, 50);
      expect(once).to.be.above(1000);
      expect(readsOf(print, 100) / once).to.be.within(1.9, 2.1);
    }
  });

  it('has a help that says what a reader has to know', async () => {
    const { stdout } = await podsplitAudit(['--help']);
    for (const word of ['Examples:', 'Exit code: 0, 1', '--fail-on', '-o html', 'role view'])
      expect(stdout).to.contain(word);
  });
});
