import { parseWiring } from '../rules/wiring-json.ts';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { withoutNulls } from '../api/json.ts';
import { saysStarted } from '../split/started.ts';
import { corpus, corpusOptions } from '../split/testdata/corpus.ts';
import { formatManifest, parseManifests } from './manifest-yaml.ts';
import { run } from './run.ts';
import { goldensIn } from './testdata/golden.ts';

/** Most Pods here state no resources: those that are about a guard ask for it. */
const guards = ['--guards', 'token'];

const testdata = join(import.meta.dirname, 'testdata');

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function kubectlPodsplit(args: readonly string[], stdin?: string | Uint8Array): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const exitCode = await run(args, {
    readFile: (path) => readFile(resolve(testdata, path)),
    readStdin: () => Promise.resolve(Buffer.from(stdin ?? '')),
    stdinIsTerminal: stdin === undefined,
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    colours: false,
    now: () => 0,
    terminal: false,
    pause: () => Promise.reject(new Error('nothing is waited for')),
    connect: () => Promise.reject(new Error('offline commands ask no cluster')),
    kubectl: () => Promise.reject(new Error('offline commands run no kubectl')),
    readKubectl: () => Promise.reject(new Error('offline commands run no kubectl')),
  });
  return { exitCode, stdout, stderr };
}

/** Rules are another folder's, with golden files of their own: here they may change. */
function withoutRules(stdout: string): string {
  return stdout.replaceAll(/^# Rules of the piece that runs .*:\n(#.*\n)+/gm, '# Rules.\n');
}

const expectGolden = goldensIn(testdata);

interface PrintedList {
  readonly items: readonly { kind: string; metadata: { name: string } }[];
  readonly rules: Readonly<Record<string, string>>;
}

function pods(stdout: string): IPod[] {
  const { items } = JSON.parse(stdout) as { items: (IPod | { kind: 'Other' })[] };
  return items.filter((item) => item.kind === 'Pod');
}

describe('kubectl podsplit split', () => {
  const goldens: readonly [string, readonly string[], number][] = [
    ['workloads', ['-f', 'workloads.yaml'], 0],
    ['workloads-explained', ['-f', 'workloads.yaml', '--explain', '-n', 'shop', '--image', 'other:1'], 0],
    ['workloads-all', ['-f', 'workloads.yaml', '--mode', 'split', '--multi-network-policy'], 0],
    ['isolated', ['-f', 'isolated.yaml'], 0],
    ['refused', ['-f', 'refused.yaml'], 1],
  ];
  for (const [name, args, exitCode] of goldens) {
    it(`prints pieces and a report: ${name}`, async () => {
      const ran = await kubectlPodsplit(['split', ...guards, ...args]);
      if (!args.includes('--explain')) expectGolden(`${name}.stdout`, withoutRules(ran.stdout));
      expectGolden(`${name}.stderr`, ran.stderr);
      expect(ran.exitCode).to.equal(exitCode);
    });
  }

  it('prints the rules of each piece, in YAML as comments and in JSON by the name of the Pod', async () => {
    const yaml = await kubectlPodsplit(['split', ...guards, '-f', 'workloads.yaml']);
    const json = await kubectlPodsplit(['split', ...guards, '-f', 'workloads.yaml', '-o', 'json']);
    const { items, rules } = JSON.parse(json.stdout) as PrintedList;
    const names = items.filter(({ kind }) => kind === 'Pod').map(({ metadata }) => metadata.name);
    expect(Object.keys(rules)).to.have.members(names);
    for (const text of Object.values(rules)) {
      expect(text).to.match(/^table inet podsplit/);
      for (const line of text.trimEnd().split('\n')) expect(yaml.stdout).to.contain(`#   ${line}`.trimEnd());
    }
  });

  it('prints the same objects as YAML and as JSON', async () => {
    const yaml = parseManifests((await kubectlPodsplit(['split', ...guards, '-f', 'workloads.yaml'])).stdout);
    const json = JSON.parse(
      (await kubectlPodsplit(['split', ...guards, '-f', 'workloads.yaml', '-o', 'json'])).stdout,
    ) as PrintedList;
    expect(yaml).to.deep.equal({ kind: 'documents', documents: json.items });
  });

  it('reads what it prints, and passes it on', async () => {
    const first = await kubectlPodsplit(['split', ...guards, '-f', 'workloads.yaml']);
    const again = await kubectlPodsplit(['split', ...guards, '-f', '-'], first.stdout);
    expect(parseManifests(again.stdout)).to.deep.equal(parseManifests(first.stdout));
    expect(again.stderr).to.contain('0 split, 0 refused');
    expect(again.exitCode).to.equal(0);
  });

  it('reads JSON, typed lists and stdin', async () => {
    const pod = { metadata: { name: 'p' }, spec: { containers: [{ name: 'a' }, { name: 'b' }] } };
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'PodList', items: [pod] });
    const ran = await kubectlPodsplit(['split', ...guards, '-f', '-', '--mode', 'split', '-o', 'json'], input);
    expect(pods(ran.stdout)).to.have.length(2);
    expect(ran.exitCode).to.equal(0);
  });

  it('reads several files', async () => {
    const ran = await kubectlPodsplit(['split', ...guards, '-f', 'refused.yaml', '-f', 'workloads.yaml']);
    expect(ran.stderr).to.contain('deployment/host').and.to.contain('deployment/web');
  });

  it("has to be told where the cluster's DNS is, if a container may ask it", async () => {
    const pod = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'p',
        annotations: {
          'podsplit.io/mode': 'split',
          'podsplit.io/egress-via': 'a->b',
          'podsplit.io/egress-dns': 'cluster',
        },
      },
      spec: {
        containers: [{ name: 'a', securityContext: { capabilities: { drop: ['ALL'] } } }, { name: 'b' }],
      },
    });
    for (const more of [[], ['--cluster-dns', '10.96.0.10,elsewhere']]) {
      const ran = await kubectlPodsplit(['split', ...guards, '-f', '-', ...more], pod);
      expect(ran.stderr).to.contain('--cluster-dns ADDRESS');
      expect(ran.exitCode).to.not.equal(0);
    }
    const ran = await kubectlPodsplit(
      ['split', ...guards, '-f', '-', '-o', 'json', '--cluster-dns', '10.96.0.10'],
      pod,
    );
    for (const { metadata } of pods(ran.stdout)) {
      const { via } = parseWiring(metadata?.annotations?.['podsplit.io/wiring'] ?? '');
      expect(via).to.deep.equal([{ from: 'a', to: 'b', dns: 'cluster', resolvers: ['10.96.0.10'] }]);
    }
  });

  it('takes addresses from the SplitNetwork of a file', async () => {
    const annotations = { 'podsplit.io/mode': 'split', 'podsplit.io/network': 'team-a' };
    const pod = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', annotations },
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
    });
    const ran = await kubectlPodsplit(
      ['split', ...guards, '-f', '-', '-o', 'json', '--network-file', 'network.yaml'],
      pod,
    );
    for (const piece of pods(ran.stdout)) {
      const [network] = JSON.parse(piece.metadata?.annotations?.['k8s.v1.cni.cncf.io/networks'] ?? '') as {
        ips: string[];
      }[];
      expect(network?.ips).to.have.length(1);
      expect(network?.ips[0]).to.match(/^fd00:7ea::.*\/64$/);
    }
    const without = await kubectlPodsplit(['split', ...guards, '-f', '-'], pod);
    expect(without.stderr).to.contain('SplitNetwork team-a').and.to.contain('--network-file');
    expect(without.exitCode).to.equal(2);
  });

  it('has an init container load the rules unless it is told otherwise: by the annotation, the SplitNetwork, the flag', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'podsplit-install-'));
    const file = join(folder, 'network.yaml');
    const network = (spec: object): string => {
      const object = { apiVersion: 'podsplit.io/v1alpha1', kind: 'SplitNetwork', metadata: { name: 'default' }, spec };
      writeFileSync(file, formatManifest(object));
      return file;
    };
    const printed = async (install: string | undefined, ...args: readonly string[]) => {
      const annotations = { 'podsplit.io/mode': 'split', ...(install && { 'podsplit.io/install': install }) };
      const containers = [{ name: 'a' }, { name: 'b' }];
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', annotations }, spec: { containers } };
      return kubectlPodsplit(['split', ...guards, '-f', '-', '-o', 'json', ...args], JSON.stringify(pod));
    };
    const modes = async (...args: Parameters<typeof printed>): Promise<unknown> => {
      const { stdout } = await printed(...args);
      const { items } = JSON.parse(stdout) as PrintedList;
      const nads = items.filter(({ kind }) => kind === 'NetworkAttachmentDefinition');
      const nad = nads.map(({ metadata }) => metadata.name.endsWith('-node'));
      return [...nad, ...pods(stdout).map(({ spec }) => spec?.initContainers === undefined)];
    };
    const all = (node: boolean) => [node, node, node];
    try {
      const ofNode = ['--network-file', network({ ipv4: '198.18.0.0/15', install: 'node' })];
      expect(await modes(undefined)).to.deep.equal(all(false));
      expect(await modes(undefined, '--install', 'node')).to.deep.equal(all(true));
      expect(await modes('init', '--install', 'node')).to.deep.equal(all(false));
      expect(await modes(undefined, ...ofNode)).to.deep.equal(all(true));
      expect(await modes('init', ...ofNode)).to.deep.equal(all(false));
      const ran = await printed('node', '--explain');
      expect(ran.stderr).to.contain('node agent runs').and.to.contain('(RulesByNodeAgent)');
      const wrong = await printed(undefined, '--network-file', network({ ipv4: '198.18.0.0/15', install: 'cni' }));
      expect(wrong.stderr).to.contain('spec.install: is "cni"; allowed are node, init.');
      expect(wrong.exitCode).to.equal(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says of the guard hardening whether it writes what is open, or refuses the Pod', async () => {
    const noteOf = async (securityContext: object, mode: string): Promise<string | undefined> => {
      const metadata = { name: 'p', annotations: { 'podsplit.io/mode': mode } };
      const secure = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
      const containers = [
        { name: 'a', securityContext: { runAsUser: 1, ...secure, ...securityContext } },
        { name: 'b', securityContext: { runAsUser: 2, ...secure } },
      ];
      const pod = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers } });
      const { stderr } = await kubectlPodsplit(['split', ...guards, '-f', '-', '--explain'], pod);
      return stderr.split('\n').find((line) => line.includes('"hardening" in'));
    };
    const writes = '  note: "hardening" in podsplit.io/guards writes that into them.';
    const refuses =
      '  note: "hardening" in podsplit.io/guards would refuse the Pod (HardeningConflict) as long as it has ' +
      'spec.containers[0].securityContext.';
    expect(await noteOf({}, 'split')).to.equal(writes);
    expect(await noteOf({ runAsUser: 0 }, 'split')).to.equal(`${refuses}runAsUser.`);
    expect(await noteOf({}, 'isolate')).to.equal(writes);
    expect(await noteOf({ runAsNonRoot: false }, 'isolate')).to.equal(`${refuses}runAsNonRoot.`);
  });

  it('prints native sidecars as siblings, and lets go what waits for them', async () => {
    const initContainers = [{ name: 'proxy', restartPolicy: 'Always' }, { name: 'warm' }];
    const spec = { initContainers, containers: [{ name: 'app' }], restartPolicy: 'Never' };
    const metadata = { name: 'p', annotations: { 'podsplit.io/mode': 'split' } };
    const pod = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec });
    const ran = await kubectlPodsplit(['split', ...guards, '-f', '-', '-o', 'json', '--install', 'node'], pod);
    const [primary, proxy] = pods(ran.stdout);
    expect(primary?.spec?.initContainers?.map(({ name }) => name)).to.deep.equal(['podsplit-wait-proxy', 'warm']);
    const started = primary?.metadata?.annotations?.['podsplit.io/started'] ?? '';
    expect(saysStarted(started, 'proxy', '10.0.0.1')).to.equal(true);
    expect(proxy?.spec).to.include({ restartPolicy: 'Always' });
    expect(proxy?.spec?.containers).to.deep.equal([{ name: 'proxy' }]);
    expect(ran.stderr).to.contain(': proxy, a sibling, native sidecar\n');
    expect(ran.stderr).to.contain('nothing waits for native sidecars').and.not.to.contain('PrimaryDecidesCompletion');
  });

  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`;
  const laughs = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefgh'.split('').map((letter, index) => {
      const before = 'abcdefg'[index]!;
      return `${letter}: &${letter} [${Array.from({ length: 9 }, () => `*${before}`).join(',')}]`;
    }),
  ].join('\n');
  const unreadable: readonly [string, string | Uint8Array, RegExp][] = [
    ['nothing', '', /^error: stdin has no object in it\. Give a manifest/],
    ['comments only', '# nothing\n---\n---\n', /^error: stdin has no object/],
    ['no YAML', 'a: b: c\n', /^error: stdin:1: .*Correct the YAML/],
    ['no YAML further down', 'kind: A\napiVersion: v1\n---\n{', /^error: stdin:4: /],
    ['a tab', 'kind: A\n\tapiVersion: v1', /^error: stdin:\d: /],
    ['text', 'hello', /^error: stdin, object 1: is not a Kubernetes object, but the text "hello"/],
    ['a number', '7', /^error: stdin, object 1: is not a Kubernetes object, but a number/],
    ['a list', '[1]', /^error: stdin, object 1: is not a Kubernetes object, but a list/],
    ['no kind', 'apiVersion: v1', /^error: stdin, object 1: has no kind/],
    ['no apiVersion', 'kind: Pod', /^error: stdin, object 1: has no apiVersion/],
    ['a list of nonsense', 'kind: List\napiVersion: v1\nitems: [1]', /^error: stdin, object 1, item 1: is not/],
    ['a picture', Buffer.from('89504e470d0a1a0a', 'hex'), /^error: stdin is not text/],
    ['NUL', 'kind: \0', /^error: stdin is not text/],
    ['a billion laughs', laughs, /^error: stdin:\d+: .*alias/i],
    ['depth without end', `kind: Pod\napiVersion: v1\nx: ${deep}`, /^error: stdin/],
    ['too much', Buffer.alloc(64 * 1024 * 1024 + 1, ' '), /^error: stdin has 67108865 bytes, more than/],
  ];
  for (const [title, input, message] of unreadable) {
    it(`says what is wrong with its input: ${title}`, async () => {
      const ran = await kubectlPodsplit(['split', ...guards, '-f', '-'], input);
      expect(ran.stderr).to.match(message);
      expect(ran.stderr.trimEnd()).to.have.length.below(400);
      expect(ran.stdout).to.equal('');
      expect(ran.exitCode).to.equal(2);
    });
  }

  const wrongCalls: readonly [readonly string[], RegExp][] = [
    [['split'], /required option.*--filename.*\n.*--help/],
    [['split', '-f', 'absent.yaml'], /Cannot read absent\.yaml: there is no such file/],
    [['split', '-f', '.'], /Cannot read \.: it is a directory/],
    [['split', '-f', '-'], /Nothing is piped into stdin/],
    [['split', '-f', 'workloads.yaml', '-o', 'toml'], /Allowed choices are yaml, json/],
    [['split', '-f', 'workloads.yaml', '--mode', 'both'], /Allowed choices are split/],
    [['split', '-f', 'workloads.yaml', '--guards', 'tokn'], /There is no guard "tokn".*token/],
    [['split', '-f', 'workloads.yaml', '--install', 'cni'], /Allowed choices are node, init/],
    [['split', '-f', 'workloads.yaml', '--network-file', 'refused.yaml'], /refused\.yaml has 3 objects/],
    [['flows'], /missing required argument 'pod\|type\/name'.*\n.*--help/],
    [['flows', 'web', '-o', 'csv'], /Allowed choices are table, wide, json, yaml/],
    [['slpit'], /unknown command 'slpit'.*\n.*split/],
    [['-n', 'shop', 'split', '-f', '-'], /Nothing is piped into stdin/],
    [['-n', 'shop'], /unknown option '-n'/],
    [['--frob', 'split'], /unknown option '--frob'/],
    [['split', '-f', 'workloads.yaml', '--frob'], /unknown option '--frob'/],
  ];
  for (const [args, message] of wrongCalls) {
    it(`exits with 2: ${args.join(' ')}`, async () => {
      const ran = await kubectlPodsplit(args);
      expect(ran.stderr).to.match(message);
      expect(ran.exitCode).to.equal(2);
    });
  }

  it('has help with examples, and a version', async () => {
    const help = await kubectlPodsplit(['--help']);
    expect(help.stdout).to.contain('kubectl podsplit split -f web.yaml').and.to.contain('kubectl podsplit flows web-');
    expect(help.exitCode).to.equal(0);
    const ofSplit = await kubectlPodsplit(['split', '--help']);
    expect(ofSplit.stdout).to.contain('--mode split --install node');
    const ofCompletion = await kubectlPodsplit(['completion', '--help']);
    expect(ofCompletion.stdout).to.contain('(choices: "bash", "zsh", "fish")');
    expect((await kubectlPodsplit(['version'])).stdout).to.equal('dev\n');
  });
});

interface GoldenOutcome {
  readonly decision: string;
  readonly refusals?: readonly string[];
  readonly flows?: readonly string[];
  readonly primary?: IPod;
  readonly siblings?: readonly IPod[];
}

describe('the CLI decides as admission does', () => {
  /** Those that hang on options which differ: a claim that only a cluster knows, and the size of blocks. */
  const elsewhere = ['refused-shared-rwop-claim', 'refused-too-many-containers'];
  /** What depends on the UID, which nobody knows offline. */
  const comparable = (pod: IPod): unknown => {
    const { affinity: _affinity, schedulingGates: _gates, readinessGates: _readiness, ...spec } = pod.spec!;
    const text = JSON.stringify(withoutNulls(spec), (key, value: unknown) =>
      key === 'image' && value === 'podsplit:test' ? '' : value,
    );
    return JSON.parse(
      text
        .replaceAll(/\{"name":"UID",[^}]*\}+/g, '{}')
        .replaceAll(/"(metadata\.uid|metadata\.annotations\['podsplit\.io\/pod-uid'\])"/g, '""'),
    );
  };

  for (const { name, created: pod, labels, golden } of corpus().filter((entry) => !elsewhere.includes(entry.name))) {
    it(name, async () => {
      // As the golden file has it, and as the API server would have named it.
      const generated = pod.metadata?.generateName;
      const named =
        generated === undefined ? pod : { ...pod, metadata: { ...pod.metadata, name: `${generated}x7k2p` } };
      const input =
        Object.keys(labels).length === 0
          ? formatManifest(named)
          : formatManifest({
              apiVersion: 'v1',
              kind: 'List',
              items: [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } }, named],
            });
      const args = ['split', ...guards, '-f', '-', '-o', 'json', '--image', 'podsplit:test'];
      const ran = await kubectlPodsplit([...args, ...networkOf(pod)], input);
      const expected = golden as GoldenOutcome;
      switch (expected.decision) {
        case 'refused':
          for (const refusal of expected.refusals ?? []) expect(ran.stderr).to.contain(refusal);
          expect(ran.exitCode).to.equal(1);
          break;
        case 'left-alone':
          expect(ran.stderr).to.match(/left alone|not annotated/);
          break;
        case 'isolate':
          // Admission marks the Pod, and nothing else: there is nothing to print in its place.
          expect(pods(ran.stdout)).to.deep.equal([pod]);
          for (const flow of expected.flows ?? []) expect(ran.stderr).to.contain(flow);
          break;
        default: {
          const [primary, ...siblings] = pods(ran.stdout).map(comparable);
          expect(primary).to.deep.equal(comparable(expected.primary!));
          expect(siblings).to.deep.equal(expected.siblings!.map(comparable));
        }
      }
    });
  }

  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'podsplit-cli-'));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function networkOf(pod: IPod): string[] {
    const name = pod.metadata?.annotations?.['podsplit.io/network'];
    if (name === undefined || name === 'Team A') return [];
    const file = join(folder, 'network.yaml');
    writeFileSync(
      file,
      formatManifest({
        apiVersion: 'v1',
        kind: 'SplitNetwork',
        metadata: { name },
        spec: {
          ipv4: '198.18.0.0/15',
          install: corpusOptions.install.byNetwork.get(name),
          resources: corpusOptions.resourceDefaults.get(name),
        },
      }),
    );
    return ['--network-file', file];
  }
});

describe('bin/kubectl-podsplit', () => {
  const launcher = join(import.meta.dirname, '../../bin/kubectl-podsplit');

  it('is found by kubectl through a link, and passes the exit code on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'podsplit-bin-'));
    try {
      const link = join(folder, 'kubectl-podsplit');
      symlinkSync(launcher, link);
      const input = join(testdata, 'refused.yaml');
      const failure: unknown = await promisify(execFile)(link, ['split', '-f', input]).catch((error: unknown) => error);
      expect(failure).to.include({ code: 1 });
      expect(execFileSync(link, ['version'], { encoding: 'utf8' })).to.match(/^\S+\n$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
