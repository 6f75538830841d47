// Logs, commands and debugging by container, as users know them from kubectl: the same commands on a whole Pod by kubectl,
// and on a split one by the plugin.

import { execFile, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { CheckReport } from '../controller/cli/check-report.ts';
import { globalValueFlags, shortValueFlags, valueFlags, verbs } from '../controller/cli/kubectl-flags.ts';
import { imageReference } from '../hack/images/recipes.ts';
import { kubeconfig, kubectlPath } from '../hack/kubectl.ts';
import { barePod, restricted, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import type { Pod } from './support/objects.ts';
import { readySplitPods, type SplitPod } from './support/pieces.ts';

const run = promisify(execFile);
const plugin = join(import.meta.dirname, '../bin/kubectl-podsplit');
const env = { ...process.env, KUBECONFIG: kubeconfig, PATH: `${dirname(kubectlPath)}:${process.env['PATH'] ?? ''}` };

interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function ended(program: string, args: readonly string[], input: string): Promise<Ended> {
  const child = spawn(program, args, { env });
  child.stdin.end(input);
  const exitCode = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { exitCode: await exitCode, stdout, stderr };
}

function container(name: string) {
  return {
    name,
    image: imageReference('samples'),
    command: ['sh', '-c', `echo ${name} one; echo ${name} two; trap 'exit 0' TERM; sleep infinity & wait`],
    resources: { requests: { cpu: '5m', memory: '16Mi' } },
    securityContext: restricted,
  };
}

const podSpec = {
  automountServiceAccountToken: false,
  terminationGracePeriodSeconds: 2,
  initContainers: [{ ...container('prepare'), command: ['sh', '-c', 'echo prepared'] }],
  containers: [container('app'), container('cache')],
};

describe('kubectl podsplit logs, exec, debug, status, topology and check', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let onWhole: (...args: readonly string[]) => Promise<Ended>;
  let onSplit: (...args: readonly string[]) => Promise<Ended>;

  before(async () => {
    namespace = await TestNamespace.create('verbs');
    await namespace.apply(
      barePod('whole', podSpec),
      workload('Deployment', 'web', podSpec, { replicas: 1, annotations: splitMode }),
    );
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/whole', patience]);
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'cache'])) as [SplitPod];
    const { name } = split.primary.metadata;
    const inNamespace =
      (program: string, pod: string) =>
      ([verb = '', ...args]: readonly string[]) =>
        ended(program, [verb, '-n', namespace.name, ...args.map((arg) => (arg === 'POD' ? pod : arg))], 'typed\n');
    const [whole, pieces] = [inNamespace(kubectlPath, 'whole'), inNamespace(plugin, name)];
    onWhole = (...args) => whole(args);
    onSplit = (...args) => pieces(args);
  });

  after(() => TestNamespace.deleteAll());

  const same: readonly (readonly string[])[] = [
    ['logs', 'POD', '-c', 'app'],
    ['logs', 'POD', '-c', 'cache'],
    ['logs', 'POD', 'cache', '--tail=1'],
    ['logs', 'POD', '-c', 'prepare'],
    ['logs', 'POD'],
    ['exec', 'POD', '-c', 'cache', '--', 'sh', '-c', 'echo said; exit 7'],
    ['exec', '-i', 'POD', '-c', 'cache', '--', 'cat'],
    ['exec', 'POD', '-c', 'app', '--', 'sh', '-c', 'echo wrong >&2'],
    ['exec', 'POD', '--', 'id', '-u'],
  ];
  for (const args of same) {
    it(`does as kubectl does: ${args.join(' ')}`, async () => {
      const whole = await onWhole(...args);
      expect(whole.stdout + whole.stderr, 'kubectl says something').not.to.equal('');
      expect(await onSplit(...args)).to.deep.equal(whole);
    });
  }

  it('prints the logs of all containers, each named with --prefix', async () => {
    const { stdout, exitCode } = await onSplit('logs', 'POD', '--all-containers', '--prefix');
    expect(exitCode).to.equal(0);
    const lines = stdout.trimEnd().split('\n').sort();
    const { primary, pieces } = split;
    const cache = pieces.get('cache')!.metadata.name;
    const said = (pod: string, name: string, line: string) => `[pod/${pod}/${name}] ${line}`;
    expect(lines).to.deep.equal(
      [
        said(primary.metadata.name, 'prepare', 'prepared'),
        ...['app one', 'app two'].map((line) => said(primary.metadata.name, 'app', line)),
        ...['cache one', 'cache two'].map((line) => said(cache, 'cache', line)),
      ].sort(),
    );
  });

  it('takes a workload for its Pod', async () => {
    expect(await onSplit('logs', 'deployment/web', '-c', 'cache')).to.include({
      exitCode: 0,
      stdout: 'cache one\ncache two\n',
    });
  });

  it('says which containers there are, and kubectl’s own words where there is no such Pod', async () => {
    const noContainer = await onSplit('exec', 'POD', '-c', 'nobody', '--', 'id');
    expect(noContainer).to.include({ exitCode: 2, stdout: '' });
    expect(noContainer.stderr).to.match(/has no container "nobody"\. It has: app, cache, prepare\./);
    const noPod = await onSplit('logs', 'no-such-pod');
    expect(noPod).to.include({ exitCode: 1, stdout: '' });
    expect(noPod.stderr).to.match(/^Error from server \(NotFound\): pods "no-such-pod" not found/);
  });

  it('says on one screen how the Pod and its pieces are', async () => {
    const names = [...split.pieces.values()].map(({ metadata }) => metadata.name);
    for (const target of ['POD', 'deployment/web', names[1]!]) {
      const { exitCode, stdout, stderr } = await onSplit('status', target, '-o', 'wide');
      expect(exitCode, stdout + stderr).to.equal(0);
      for (const name of names) expect(stdout).to.contain(name);
      for (const address of split.pieces.get('cache')!.status.podIPs ?? []) expect(stdout).to.contain(address.ip);
    }
    // A whole Pod has nothing to tell.
    expect(await onSplit('status', 'whole')).to.include({ exitCode: 2, stdout: '' });
  });

  it('draws the Pod, in each form', async () => {
    const words: Readonly<Record<string, RegExp>> = {
      text: /^Pod .*, deployment\/web, mode split, Running on /,
      svg: /^<svg .*<desc id="desc">Pod /s,
      mermaid: /^flowchart LR\n/,
      html: /^<!doctype html>\n/,
    };
    for (const [format, beginning] of Object.entries(words)) {
      const { exitCode, stdout, stderr } = await onSplit('topology', 'POD', '-o', format);
      expect(exitCode, stderr).to.equal(0);
      expect(stdout).to.match(beginning);
      for (const { metadata, status } of split.pieces.values()) {
        for (const address of status.podIPs ?? []) expect(stdout, metadata.name).to.contain(address.ip);
      }
    }
    expect(await onSplit('topology', 'whole')).to.include({ exitCode: 2, stdout: '' });
  });

  it('says that the cluster has what podsplit needs, and that podsplit is well', async () => {
    const { exitCode, stdout, stderr } = await ended(plugin, ['check', '-o', 'json'], '');
    const { installed, checks } = JSON.parse(stdout) as CheckReport;
    expect(installed, stderr).to.equal(true);
    expect(checks.filter(({ level }) => level === 'problem')).to.deep.equal([]);
    expect(exitCode).to.equal(0);
    const well = checks.filter(({ level }) => level === 'ok').map(({ check }) => check);
    expect(well).to.include.members([
      ...['api-server', 'nodes', 'multus-crd', 'multus', 'cni-plugins', 'kernel', 'pod-security', 'crds', 'guards'],
      ...['webhook', 'certificate', 'controller', 'leader', 'agents', 'cni-plugin', 'split-networks'],
    ]);
    // The agents have loaded rules on the node of this Pod.
    const kernel = checks.find(({ check, level }) => check === 'kernel' && level === 'ok');
    expect(kernel?.what).to.contain(split.primary.spec.nodeName);
  });

  it('checks what a user without rights may see, and says what that is not', async () => {
    const as = `--as=system:serviceaccount:${namespace.name}:default`;
    const { exitCode, stdout, stderr } = await ended(plugin, ['check', '-o', 'json', as], '');
    expect(exitCode, stderr).to.equal(0);
    const { checks } = JSON.parse(stdout) as CheckReport;
    const levelsOf = (id: string) => checks.filter(({ check }) => check === id).map(({ level }) => level);
    expect(levelsOf('multus-crd')).to.deep.equal(['ok']);
    expect(levelsOf('nodes')).to.deep.equal(['unknown']);
    expect(checks.filter(({ level }) => level === 'problem' || level === 'warning')).to.deep.equal([]);
  });

  it('debugs in the network of the one piece', async () => {
    const addressesIn = async (name: string): Promise<string> => {
      const piece = split.pieces.get(name)!;
      const { stdout } = await namespace.exec(piece.metadata.name, name, ['cat', '/proc/net/fib_trie']);
      return stdout;
    };
    const image = `--image=${imageReference('samples')}`;
    const debugged = await onSplit(
      'debug',
      'POD',
      '-c',
      'cache',
      image,
      '--profile=restricted',
      '--',
      'cat',
      '/proc/net/fib_trie',
    );
    expect(debugged.exitCode, debugged.stderr).to.equal(0);
    const { name } = split.pieces.get('cache')!.metadata;
    const added = await eventually('the ephemeral container has ended', async () => {
      const { spec, status } = await namespace.get<DebuggedPod>('pods', name);
      const state = status.ephemeralContainerStatuses?.[0]?.state;
      if (state?.terminated === undefined) throw new Error(JSON.stringify(state));
      return spec.ephemeralContainers![0]!;
    });
    expect(added.targetContainerName).to.equal('cache');
    const { stdout } = await onSplit('logs', 'POD', '-c', added.name);
    expect(stdout)
      .to.equal(await addressesIn('cache'))
      .and.not.to.equal(await addressesIn('app'));
  });

  it('knows of each flag of this kubectl whether a value follows', async () => {
    const global = await valueFlagsIn(['options']);
    expect([...globalValueFlags]).to.include.members(global.map(({ long }) => long));
    for (const verb of verbs) {
      const listed = await valueFlagsIn([verb, '--help']);
      expect([...valueFlags[verb]].sort(), verb).to.deep.equal(listed.map(({ long }) => long).sort());
      for (const { short, long } of [...global, ...listed]) {
        if (short !== undefined) expect(shortValueFlags[verb][short], `${verb} -${short}`).to.equal(long);
      }
    }
  });
});

interface DebuggedPod extends Pod {
  readonly spec: Pod['spec'] & {
    readonly ephemeralContainers?: readonly { readonly name: string; readonly targetContainerName?: string }[];
  };
  readonly status: Pod['status'] & {
    readonly ephemeralContainerStatuses?: readonly { readonly state?: { readonly terminated?: object } }[];
  };
}

/** kubectl lists `-c, --container='':` with a value, and `--follow=false:` without one. */
async function valueFlagsIn(args: readonly string[]): Promise<readonly { short?: string; long: string }[]> {
  const { stdout } = await run(kubectlPath, args, { env });
  const flags = [...stdout.matchAll(/^ +(?:-(\w), )?(--[\w-]+)=(.*):$/gm)];
  expect(flags, args.join(' ')).not.to.have.length(0);
  return flags
    .filter(([, , , value]) => value !== 'true' && value !== 'false')
    .map(([, short, long]) => ({ ...(short !== undefined && { short }), long: long! }));
}
