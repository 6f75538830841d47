import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatFlow, readFlow } from '../api/flow.ts';
import { installModes } from '../api/install.ts';
import { installOfNad, nadName, podSplitName, splitId } from '../api/identity.ts';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { Denial, PodSplit } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { ApiErrorCode } from '../kube/errors.ts';
import { resources, type KubeObject, type Pod } from '../kube/resources.ts';
import { formatAge, formatFlowsReport, flowsReport, type FlowsReport } from './flows-report.ts';
import { parseManifests } from './manifest-yaml.ts';
import { run } from './run.ts';
import { goldensIn } from './testdata/golden.ts';
import { storedClient } from './testdata/stored-client.ts';

const testdata = join(import.meta.dirname, 'testdata');
const now = Date.parse('2026-01-02T03:04:05Z');
const plain = { wide: false, colours: false, now };

function podSplit(name: string): PodSplit {
  const parsed = parseManifests(readFileSync(join(testdata, `${name}.yaml`), 'utf8'));
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  return parsed.documents[0] as PodSplit;
}

const expectGolden = goldensIn(testdata);

describe('the report of flows', () => {
  it('says who may reach whom, and who was denied what, newest first', () => {
    const report = flowsReport(podSplit('flows-node'));
    expectGolden('flows-node.txt', formatFlowsReport(report, plain));
    expectGolden('flows-node.wide.txt', formatFlowsReport(report, { ...plain, wide: true }));
    expectGolden('flows-node.json', `${JSON.stringify(report, undefined, 2)}\n`);
  });

  it('says that nothing is enforced, what was used, and what would have been denied', () => {
    expectGolden('flows-observe.txt', formatFlowsReport(flowsReport(podSplit('flows-observe')), plain));
  });

  it('says when there are no flows, and nothing was denied', () => {
    expectGolden('flows-none.txt', formatFlowsReport(flowsReport(podSplit('flows-none')), plain));
  });

  it('says how to read what an init container’s rules denied, instead of that nothing was', () => {
    const report = flowsReport(podSplit('flows-init'));
    expect(report).not.to.have.property('denied');
    expectGolden('flows-init.txt', formatFlowsReport(report, plain));
  });

  it('says what the way out of a container is, and that there is no other between them', () => {
    const none = podSplit('flows-none');
    const way = 'worker goes out by gate:15001 only (podsplit.io/egress-via).';
    const conditions = [{ type: 'EgressVia', status: 'True', reason: 'Kept', message: way, lastTransitionTime: '' }];
    const report = flowsReport({ ...none, status: { ...none.status!, conditions } as PodSplit['status'] & object });
    expect(formatFlowsReport(report, plain)).to.contain(
      `\nAllowed\nnothing but the way out\n\nWay out\n${way}\n\nDenied`,
    );
  });

  it('says what to declare of what pieces called at their own loopback, and leads to the flows of what is declared', () => {
    expectGolden('flows-loopback.txt', formatFlowsReport(flowsReport(podSplit('flows-loopback')), plain));
  });

  it('has no more of such calls than a person reads, and none of a Pod where another reason is the likely one', () => {
    const one = podSplit('flows-loopback');
    const [denial] = one.status!.denied!;
    const denied = [1, 2, 3, 4, 5].map((port) => ({ ...denial!, port, protocol: 'udp' as const }));
    const text = (changed: Partial<PodSplit>): string =>
      formatFlowsReport(flowsReport({ ...one, status: { ...one.status!, denied }, ...changed }), plain);
    expect(text({})).to.match(/\n {2}web at 4\/udp\n {2}and 1 more\n/);
    expect(text({})).to.contain('\n  ports: [{ containerPort: 1, protocol: UDP }]\n').and.not.to.contain('To allow');
    const networkAttachmentDefinition = 'podsplit-web-0123456789ab-isolate';
    expect(text({ spec: { ...one.spec, networkAttachmentDefinition } })).not.to.contain('containerPort');
    const { conditions } = podSplit('flows-observe').status!;
    expect(text({ status: { ...one.status!, denied, conditions: conditions! } })).not.to.contain('containerPort');
  });

  it('is coloured where somebody sees it, and says the same', () => {
    const report = flowsReport(podSplit('flows-node'));
    const coloured = formatFlowsReport(report, { ...plain, colours: true });
    expect(coloured).to.contain('\u001b[1m').and.to.contain('\u001b[31m');
    // eslint-disable-next-line no-control-regex -- that is what colours are
    expect(coloured.replace(/\u001b\[\d+m/g, '')).to.equal(formatFlowsReport(report, plain));
  });

  it('does not let an object steer the terminal', () => {
    const forged = podSplit('flows-node');
    const [denial] = forged.status!.denied!;
    const denied = [{ ...denial!, from: '\u001b]0;owned\u0007', address: 'a\r\nb' }];
    const text = formatFlowsReport(flowsReport({ ...forged, status: { ...forged.status!, denied } }), plain);
    expect(text).to.contain('?]0;owned?').and.to.contain('a??b');
  });

  const ages: readonly [string, string][] = [
    ['00:00:00', '0s'],
    ['00:01:59', '119s'],
    ['00:02:00', '2m'],
    ['00:09:59', '9m59s'],
    ['00:10:59', '10m'],
    ['02:59:59', '179m'],
    ['03:00:00', '3h'],
    ['07:59:59', '7h59m'],
    ['23:59:59', '23h'],
  ];
  for (const [time, printed] of ages) {
    it(`prints an age of ${time} as kubectl does: ${printed}`, () => {
      expect(formatAge(Date.parse(`1970-01-01T${time}Z`))).to.equal(printed);
    });
  }

  it('knows ages of days, clocks that differ, and times that are none', () => {
    const hour = 3_600_000;
    expect([47, 48, 75, 200].map((hours) => formatAge(hours * hour))).to.deep.equal(['47h', '2d', '3d3h', '8d']);
    expect(formatAge(-5000)).to.equal('0s');
    expect(formatAge(Number.NaN)).to.equal('<unknown>');
  });

  it('reads flows and names of networks as podsplit writes them', () => {
    const name = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/);
    const flow = fc.record({
      from: name,
      to: name,
      port: fc.integer({ min: 1, max: 65535 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    });
    fc.assert(
      fc.property(flow, (one) => {
        expect(readFlow(formatFlow(one))).to.deep.equal(one);
      }),
    );
    expect(readFlow('web->cache:6379/sctp')).to.equal(undefined);
    fc.assert(
      fc.property(name, fc.constantFrom(...installModes), (workload, install) => {
        const ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: workload, uid: 'u' };
        expect(installOfNad(nadName(ref, install))).to.equal(install);
      }),
    );
  });
});

/** What the command reads, answered from memory; a code in place of an object is the API server's refusal. */
interface Answers {
  readonly pods?: readonly Pod[] | ApiErrorCode;
  readonly podSplits?: readonly PodSplit[] | ApiErrorCode;
  readonly policies?: readonly ContainerNetworkPolicy[] | ApiErrorCode;
  readonly others?: readonly KubeObject[];
}

function clientOf({ pods = [], podSplits = [], policies = [], others = [] }: Answers): KubeClient {
  const answers: Readonly<Record<string, readonly KubeObject[] | ApiErrorCode>> = {
    [resources.pods.plural]: pods,
    [resources.podSplits.plural]: podSplits,
    [resources.containerNetworkPolicies.plural]: policies,
  };
  return storedClient({
    objects: () => [...Object.values(answers).flatMap((each) => (typeof each === 'string' ? [] : each)), ...others],
    refused: (plural) => {
      const answer = answers[plural];
      return typeof answer === 'string' ? answer : undefined;
    },
    words: 'said the server',
  });
}

const uid = '2b0f63a0-0000-4000-8000-000000000000';
const split = splitId(uid);

function pod(name: string, labels: Readonly<Record<string, string>>, more: Partial<Pod> = {}): Pod {
  const spec = { containers: [{ name: 'c' }, { name: 'd' }] };
  const metadata = { name, namespace: 'shop', uid: name === 'web' ? uid : name, labels };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec, ...more };
}

const primary = pod('web', { 'podsplit.io/role': 'primary', 'podsplit.io/split': split });
const sibling = pod('web-cache-5b1c9e', { 'podsplit.io/role': 'sibling', 'podsplit.io/split': split });
const stored: PodSplit = {
  ...podSplit('flows-node'),
  metadata: { name: podSplitName('web', uid), namespace: 'shop', labels: { 'podsplit.io/split': split } },
};

describe('kubectl podsplit flows', () => {
  async function flows(args: readonly string[], answers: Answers) {
    let stdout = '';
    let stderr = '';
    const exitCode = await run(['flows', ...args], {
      readFile: () => Promise.reject(new Error('no file is named')),
      readStdin: () => Promise.reject(new Error('nothing is piped')),
      stdinIsTerminal: true,
      stdout: (text) => (stdout += text),
      stderr: (text) => (stderr += text),
      colours: false,
      now: () => now,
      terminal: false,
      pause: () => Promise.reject(new Error('nothing is waited for')),
      connect: () => Promise.resolve({ client: clientOf(answers), namespace: 'shop' }),
      kubectl: () => Promise.reject(new Error('kubectl is not needed')),
      readKubectl: () => Promise.reject(new Error('kubectl is not needed')),
    });
    return { exitCode, stdout, stderr };
  }

  it('finds the Pod by any of its pieces', async () => {
    const answers = { pods: [primary, sibling], podSplits: [stored] };
    const ran = await flows(['web'], answers);
    expect(ran).to.include({ exitCode: 0, stderr: '' });
    expectGolden('flows-node.txt', ran.stdout);
    for (const name of ['web-cache-5b1c9e', 'pod/web', 'pods/web-cache-5b1c9e']) {
      expect(await flows([name], answers)).to.deep.equal(ran);
    }
  });

  it('prints the same for programs', async () => {
    const answers = { pods: [primary], podSplits: [stored] };
    const json: unknown = JSON.parse((await flows(['web', '-o', 'json'], answers)).stdout);
    const yaml = parseManifests((await flows(['web', '-o', 'yaml'], answers)).stdout);
    expect(json).to.deep.equal(flowsReport(stored));
    expect(yaml).to.deep.equal({ kind: 'documents', documents: [json] });
  });

  const opted = { annotations: { 'podsplit.io/mode': 'split' } };
  const conditions = [
    {
      type: 'podsplit.io/pieces-ready',
      status: 'False',
      reason: 'AddressesExhausted',
      message: 'All blocks are held.',
    },
  ];
  const failures: readonly [string, Answers, RegExp][] = [
    ['no such Pod', {}, /There is no Pod web in namespace shop\..*kubectl get podsplits -n shop\n$/],
    ['a Pod that is not split', { pods: [pod('web', {})] }, /Pod web is not split\..*podsplit\.io\/mode=split\n$/],
    [
      'a Pod that opted in past the webhook',
      { pods: [{ ...pod('web', {}), metadata: { name: 'web', namespace: 'shop', ...opted } }] },
      /did not meet podsplit's webhook\. Delete it/,
    ],
    [
      'a Pod with one container that did not opt in',
      { pods: [pod('web', {}, { spec: { containers: [{ name: 'c' }] } })] },
      /Pod web is not split\. It has one container, so there is nothing to split/,
    ],
    [
      'a Pod with a native sidecar',
      {
        pods: [
          pod(
            'web',
            {},
            { spec: { containers: [{ name: 'c' }], initContainers: [{ name: 'd', restartPolicy: 'Always' }] } },
          ),
        ],
      },
      /Pod web is not split\. Annotate what it belongs to/,
    ],
    ['a Pod with one container', { pods: [pod('web', { 'podsplit.io/role': 'whole' })] }, /has one container/],
    ['no PodSplit yet', { pods: [primary] }, /has no PodSplit yet\..*kubectl get pods -n podsplit-system\n$/],
    [
      'no PodSplit yet, for a reason',
      { pods: [{ ...pod('web', { 'podsplit.io/role': 'primary' }), status: { conditions } }] },
      /has no PodSplit yet\..*says: All blocks are held\. \(AddressesExhausted\)\n$/,
    ],
    ['no podsplit', { pods: [primary], podSplits: 'NotFound' }, /podsplit is not installed there\.\n$/],
    ['no right to Pods', { pods: 'Forbidden' }, /You may not get pods in namespace shop\. Ask for the role view/],
    [
      'no right to PodSplits',
      { pods: [primary], podSplits: 'Forbidden' },
      /You may not list podsplits\.podsplit\.io in/,
    ],
    ['no login', { pods: 'Unauthorized' }, /cluster\.example does not know you: .*Log in again/],
    [
      'no answer',
      { pods: 'Unreachable' },
      /cluster\.example gave no answer: .*Does kubectl get pods -n shop work\?\n$/,
    ],
  ];
  for (const [title, answers, message] of failures) {
    it(`says what is in the way, and what to do: ${title}`, async () => {
      const ran = await flows(['web'], answers);
      expect(ran.stderr)
        .to.match(/^error: /)
        .and.to.match(message);
      expect(ran).to.include({ exitCode: 2, stdout: '' });
    });
  }

  const cacheIn: ContainerNetworkPolicy = {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy',
    metadata: { name: 'cache-in', namespace: 'shop' },
    spec: { podSelector: { matchLabels: { app: 'web' } }, containers: ['cache'], ingress: [] },
  };
  const labelled = {
    ...primary,
    metadata: { ...primary.metadata, labels: { ...primary.metadata.labels, app: 'web' } },
  };
  const asked = '  kubectl podsplit policy web -n shop --from statsd --to cache:6379   # cache-in\n';
  const [toFlows, toOthers] = ['To allow one, add it', 'To allow one of the others, add it'];

  const ofWeb: PodSplit = { ...stored, spec: { ...stored.spec, pod: { name: 'web', uid } } };

  function denying(...denied: readonly Partial<Denial>[]): PodSplit {
    const any = stored.status!.denied![0]!;
    return { ...ofWeb, status: { ...stored.status!, denied: denied.map((each) => ({ ...any, ...each })) } };
  }

  it('leads to the policies where they decide about what was denied, instead of to the annotation', async () => {
    const pods = [labelled, sibling];
    const both = { pods, podSplits: [ofWeb], policies: [cacheIn] };
    for (const name of ['web', 'web-cache-5b1c9e']) {
      expect((await flows([name], both)).stdout)
        .to.contain(asked)
        .and.to.contain(toOthers);
    }
    const gone = await flows(['web-cache-5b1c9e'], { ...both, pods: [sibling] });
    expect(gone.exitCode).to.equal(0);
    const only = await flows(['web'], { ...both, podSplits: [denying({})] });
    expect(only.stdout).to.contain(asked).and.not.to.contain('To allow');
    const json = JSON.parse((await flows(['web', '-o', 'json'], both)).stdout) as FlowsReport;
    expect(json.policed).to.deep.equal([
      { from: 'statsd', to: 'cache', port: 6379, protocol: 'tcp', policies: ['cache-in'] },
    ]);
    const datagrams = [1, 2, 3, 4, 5].map((port) => ({ port, protocol: 'udp' as const }));
    expect((await flows(['web'], { ...both, podSplits: [denying(...datagrams)] })).stdout)
      .to.contain('--to cache:1/udp   # cache-in')
      .and.to.match(/\n {2}and 1 more\n$/);
  });

  it('leads to the annotation where no policy decides, and says where nobody may know', async () => {
    const answers = { pods: [labelled], podSplits: [ofWeb] };
    const auditing = { ...cacheIn, spec: { ...cacheIn.spec, action: 'Audit' as const } };
    const ofOthers = { ...cacheIn, spec: { ...cacheIn.spec, podSelector: { matchLabels: { app: 'api' } } } };
    for (const policies of [[], [auditing], [ofOthers], 'NotFound' as const]) {
      const { stdout } = await flows(['web'], { ...answers, policies });
      expect(stdout).to.contain(toFlows).and.not.to.contain('olicies decide');
    }
    const unread = await flows(['web'], { ...answers, policies: 'Forbidden' });
    expect(unread.stdout).to.contain(toFlows).and.to.contain('that decides instead; you may not list them here.\n');
  });

  it('takes one of the Pods of a workload, and rather one that is ready', async () => {
    const conditions = [{ type: 'Ready', status: 'True' }];
    const other = pod('aaa', { 'podsplit.io/role': 'primary', app: 'web' });
    const ready = { ...labelled, status: { conditions } };
    const spec = { selector: { matchLabels: { app: 'web' } } };
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'shop', uid: 'd' },
      spec,
    };
    const answers = { pods: [other, ready], podSplits: [stored], others: [deployment] };
    const direct = await flows(['web'], answers);
    const ran = await flows(['deployment/web'], answers);
    expect(ran).to.deep.equal({ ...direct, stderr: 'deployment/web has 2 split Pods: this is of web.\n' });
    expect(await flows(['deploy/web'], { ...answers, pods: [ready] })).to.deep.equal(direct);
    expect(await flows(['deploy/api'], answers)).to.include({ exitCode: 2 });
    expect((await flows(['deploy/api'], answers)).stderr).to.contain('There is no Deployment api in namespace shop.');
  });

  it('has help with examples', async () => {
    const ran = await flows(['--help'], {});
    expect(ran.stdout).to.contain('kubectl podsplit flows web-6d4f9c7b5-x7k2p -n shop -o wide');
    expect(ran.exitCode).to.equal(0);
  });
});
