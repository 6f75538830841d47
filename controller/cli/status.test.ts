import { expect } from 'chai';
import { stripVTControlCharacters } from 'node:util';
import { isRecord } from '../api/json.ts';
import type { Pod } from '../kube/resources.ts';
import { parseManifests } from './manifest-yaml.ts';
import { goldensIn } from './testdata/golden.ts';
import { failure } from './testdata/stored-client.ts';
import {
  testdata,
  type Objects,
  stored,
  isPodSplit,
  deployment,
  unsplit,
  type Cluster,
  NoMore,
  clientOf,
  status,
  ofPod,
  conflict,
} from './testdata/status-run.ts';

const expectGolden = goldensIn(testdata);

describe('kubectl podsplit status', () => {
  const goldens: readonly [string, readonly string[], number][] = [
    ['status-namespace.txt', [], 1],
    ['status-namespace.wide.txt', ['-A', '-o', 'wide'], 1],
    ['status-pod.txt', ['web-6d4f9c7b5-x7k2p'], 1],
    ['status-workload.txt', ['deployment/web'], 1],
    ['status-isolated.txt', ['api-0'], 0],
    ['status-init.txt', ['web-6d4f9c7b5-aaaaa'], 0],
    ['status-unseen.txt', ['pod/late'], 1],
    ['status-completed.txt', ['report-1'], 0],
    ['status-pod.json', ['web-6d4f9c7b5-x7k2p', '-o', 'json'], 1],
  ];
  for (const [golden, args, exitCode] of goldens) {
    it(`says how Pods are, what is wrong and what to do: ${['status', ...args].join(' ')}`, async () => {
      const ran = await status(args);
      expectGolden(golden, ran.stdout);
      expect(ran).to.include({ exitCode, stderr: '' });
    });
  }

  const ready = 'web-6d4f9c7b5-aaaaa';

  it('finds the Pod by any of its pieces, and a workload by whatever kubectl calls it', async () => {
    const byPrimary = await status(['web-6d4f9c7b5-x7k2p']);
    expect(await status(['po/web-6d4f9c7b5-x7k2p-cache-5b1c9e'])).to.deep.equal(byPrimary);
    const byWorkload = await status(['deployment/web']);
    for (const name of ['deploy/web', 'Deployments.apps/web']) {
      expect(await status([name])).to.deep.equal(byWorkload);
    }
  });

  it('shows the pieces of Pods that were named, though all is well, and of others a line', async () => {
    const objects = [...ofPod(ready), deployment];
    expect((await status(['deployment/web'], { objects })).stdout)
      .to.match(/^1 Pod: all well$/m)
      .and.to.match(/^CONTAINER +POD +READY/m);
    expect((await status([], { objects })).stdout).not.to.contain('CONTAINER');
  });

  it('knows workloads that kubectl’s own types are not, by what their Pods belong to', async () => {
    const objects = stored().map((object) =>
      isPodSplit(object) && object.spec.workload.name === 'api'
        ? { ...object, spec: { ...object.spec, workload: { ...object.spec.workload, kind: 'Rollout' } } }
        : object,
    );
    const { stdout } = await status(['rollouts.example.org/api'], { objects });
    expect(stdout)
      .to.match(/^api-0 +rollout\/api /m)
      .and.not.to.contain('web-');
  });

  it('selects Pods by the labels that their users know', async () => {
    const { stdout, exitCode } = await status(['-l', 'app=api']);
    expect(stdout)
      .to.match(/^api-0 /m)
      .and.not.to.match(/^(web|late|report)/m);
    expect(exitCode).to.equal(0);
  });

  it('prints the same for programs', async () => {
    const json: unknown = JSON.parse((await status(['-o', 'json'])).stdout);
    expect(parseManifests((await status(['-o', 'yaml'])).stdout)).to.deep.equal({
      kind: 'documents',
      documents: [json],
    });
    expect(isRecord(json) && json['pods']).to.have.length(5);
  });

  it('says that there is none, and lists none to programs', async () => {
    expect(await status(['-n', 'other'])).to.deep.equal({
      exitCode: 0,
      stdout: '',
      stderr: 'No split Pods found in other namespace.\n',
    });
    expect((await status(['-A', '-o', 'json'], { objects: [] })).stdout).to.equal('{\n  "pods": []\n}\n');
  });

  describe('in a namespace with a label', () => {
    const namespace = (labels: Record<string, string>) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'shop', labels },
    });
    const labelled = namespace({ 'podsplit.io/mode': 'split' });
    const pod = (name: string, more: object = {}, metadata: object = {}): Pod => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'shop', uid: name, ...metadata },
      spec: { containers: [{ name: 'web' }, { name: 'cache' }], ...more },
    });
    const sidecar = { containers: [{ name: 'web' }], initContainers: [{ name: 'proxy', restartPolicy: 'Always' }] };
    const others = [
      unsplit,
      { ...pod('ended'), status: { phase: 'Succeeded' } } as Pod,
      pod('leaving', {}, { deletionTimestamp: '2026-01-02T03:04:05Z' }),
      pod('whole', {}, { annotations: { 'podsplit.io/mode': 'none' } }),
    ];

    it('counts the Pods that were made before it', async () => {
      const one = await status([], { objects: [labelled, pod('a'), ...others] });
      expect(one).to.include({ exitCode: 0, stdout: '' });
      expect(one.stderr).to.equal(
        'No split Pods found in shop namespace.\n' +
          '1 Pod with several containers was made before the label podsplit.io/mode=split, and runs whole: restart its workload.\n' +
          '  kubectl podsplit audit -n shop   # what becomes of them\n' +
          '  kubectl rollout restart deployment,statefulset,daemonset -n shop\n',
      );
      const two = await status([], { objects: [labelled, pod('a'), pod('b', sidecar), ...ofPod(ready)] });
      expect(two.stdout).to.contain(ready);
      expect(two.stderr).to.match(/^2 Pods with several containers were made before .* restart their workloads\.\n/);
    });

    const silent: readonly [string, readonly string[], Cluster][] = [
      ['there are none', [], { objects: [labelled, ...others] }],
      ['it has no label', [], { objects: [namespace({}), pod('a')] }],
      ['it says none', [], { objects: [namespace({ 'podsplit.io/mode': 'none' }), pod('a')] }],
      ['the user may not read it', [], { objects: [labelled, pod('a')], refused: { namespaces: 'Forbidden' } }],
      ['a program reads', ['-o', 'json'], { objects: [labelled, pod('a')] }],
      ['Pods were selected', ['-l', 'app=web'], { objects: [labelled, pod('a')] }],
      ['all namespaces were asked for', ['-A'], { objects: [labelled, pod('a')] }],
    ];
    for (const [title, args, cluster] of silent) {
      it(`is silent where ${title}`, async () => {
        expect((await status(args, cluster)).stderr).not.to.contain('before the label');
      });
    }
  });

  it('is coloured where somebody sees it, and says the same', async () => {
    const plain = await status(['-o', 'wide']);
    const coloured = await status(['-o', 'wide'], {}, { colours: true });
    expect(coloured.stdout).to.contain('\u001b[1m').and.to.contain('\u001b[31m');
    expect(stripVTControlCharacters(coloured.stdout)).to.equal(plain.stdout);
  });

  const inConflict = (objects: Objects): Objects =>
    objects.map((object) =>
      isPodSplit(object)
        ? {
            ...object,
            status: { ...object.status!, conditions: [...(object.status?.conditions ?? []), conflict] },
          }
        : object,
    );

  it('calls no Pod well that has a condition which does not hold, and fails', async () => {
    expect(await status([], { objects: ofPod(ready) })).to.include({ exitCode: 0 });
    const one = await status([], { objects: inConflict(ofPod(ready)) });
    expect(one.exitCode).to.equal(1);
    expect(one.stdout)
      .to.match(/^web\S+ .* EgressViaConflict /m)
      .and.to.match(/^1 Pod: ready, 1 problem$/m)
      .and.to.match(/^What is wrong\nEgressVia \(EgressViaConflict\): web has no way out\./m)
      .and.to.match(/^Ready +True/m);
    const two = await status([], { objects: inConflict([...ofPod(ready), ...ofPod('api-0')]) });
    expect(two.stdout).to.match(/^2 Pods: all ready, 2 problems, 1 observing$/m);
    expect(await status([ready], { objects: inConflict(ofPod(ready)) })).to.include({ exitCode: 1 });
  });

  it('says that a Pod is observed, which somebody chose: nothing is wrong', async () => {
    const { stdout, exitCode } = await status([], { objects: ofPod('api-0') });
    expect(exitCode).to.equal(0);
    expect(stdout)
      .to.match(/^1 Pod: ready, 1 observing$/m)
      .and.to.match(/^On purpose\nEnforcing \(Observing\)/m)
      .and.not.to.contain('What is wrong');
    const json: unknown = JSON.parse((await status(['-o', 'json'], { objects: ofPod('api-0') })).stdout);
    expect(json).to.have.nested.property('pods[0].problems[0].chosen', true);
  });

  describe('where Pods are being deleted', () => {
    const old = ofPod('web-6d4f9c7b5-x7k2p').map((object) =>
      isPodSplit(object)
        ? object
        : { ...object, metadata: { ...object.metadata, deletionTimestamp: '2026-01-02T03:04:30Z' } },
    );

    it('shows them, and counts the others', async () => {
      const { stdout, exitCode } = await status([], { objects: [...ofPod(ready), ...old] });
      expect(exitCode).to.equal(0);
      expect(stdout)
        .to.match(/^web-6d4f9c7b5-x7k2p +deployment\/web +Ending /m)
        .and.to.match(/^1 Pod: all well; 1 more ending$/m)
        .and.not.to.contain('What is wrong');
      expect((await status([], { objects: old })).stdout).to.match(/^1 Pod, ending$/m);
      const named = await status(['deploy/web'], { objects: [...ofPod(ready), ...old, deployment] });
      expect(named.stdout.match(/^Pod .*/gm)).to.deep.equal([`Pod shop/${ready}`]);
    });

    it('says it of those whose primary is gone, and not of those that have failed', async () => {
      const [podSplit] = ofPod('report-1').filter(isPodSplit);
      expect(await status([], { objects: [podSplit!] })).to.include({ exitCode: 0 });
      const failed = ofPod('report-1').map((object) =>
        isPodSplit(object) ? object : { ...object, status: { phase: 'Failed' } },
      );
      const ran = await status([], { objects: failed });
      expect(ran.exitCode).to.equal(1);
      expect(ran.stdout).to.match(/^1 Pod: 1 not ready$/m);
    });

    it('says it of the one that was named', async () => {
      const { stdout, exitCode } = await status(['web-6d4f9c7b5-x7k2p', '-o', 'json'], { objects: old });
      expect(exitCode).to.equal(0);
      expect(JSON.parse(stdout)).to.have.nested.include({ 'pods[0].ending': true, 'pods[0].problems.length': 0 });
    });
  });

  const failures: readonly [string, readonly string[], Cluster, RegExp][] = [
    ['no such Pod', ['nobody'], {}, /There is no Pod nobody in namespace shop\./],
    ['a Pod that is not split', ['plain'], {}, /Pod plain is not split\..*podsplit\.io\/mode=split\n$/],
    ['no such workload', ['sts/web'], {}, /There is no StatefulSet web in namespace shop\..*status -n shop\n$/],
    [
      'a workload that is not split',
      ['deploy/web'],
      { objects: [deployment, unsplit] },
      /deployment\/web has no split Pod in namespace shop\. .*kubectl annotate deployment\/web -n shop podsplit\.io\/mode=split\n$/,
    ],
    ['a name in all namespaces', ['web', '-A'], {}, /name it by -n instead of -A/],
    ['a name and a selector', ['web', '-l', 'app=web'], {}, /not both/],
    ['one namespace and all', ['-n', 'shop', '-A'], {}, /Give one of -n and -A/],
    ['no podsplit', [], { refused: { podsplits: 'NotFound' } }, /podsplit is not installed there\.\n$/],
    ['no right to Pods', [], { refused: { pods: 'Forbidden' } }, /You may not list pods in namespace shop\. Ask for/],
    [
      'no right to all PodSplits',
      ['-A'],
      { refused: { podsplits: 'Forbidden' } },
      /You may not list podsplits\.podsplit\.io in all namespaces\. Ask for/,
    ],
    ['no right to the workload', ['ds/web'], { refused: { daemonsets: 'Forbidden' } }, /You may not get daemonsets in/],
    [
      'a wrong selector',
      ['-l', '=('],
      { refused: { pods: 'BadRequest' } },
      /said\? the server\. Is the selector right/,
    ],
    ['no answer', ['-A'], { refused: { pods: 'Unreachable' } }, /gave no answer: .*kubectl get pods -A work\?\n$/],
  ];
  for (const [title, args, cluster, message] of failures) {
    it(`says what is in the way, and what to do: ${title}`, async () => {
      const ran = await status(args, cluster);
      expect(ran.stderr)
        .to.match(/^error: /)
        .and.to.match(message);
      expect(ran).to.include({ exitCode: 2, stdout: '' });
    });
  }

  describe('--watch', () => {
    const well = stored().filter(({ metadata }) => metadata.name.startsWith('api'));
    const broken = stored().filter(({ metadata }) => !metadata.name.startsWith('report'));

    it('prints a block with a separator on a pipe, and nothing where nothing changed', async () => {
      const { stdout, exitCode } = await status(['--watch'], { objects: well, later: [well, broken, broken, well] });
      const [first, second, third, ...more] = stdout.split('\n--- 2026-01-02T03:04:05.000Z\n\n');
      expect(exitCode).to.equal('watching');
      expect(first).to.equal((await status([], { objects: well })).stdout);
      expect(second).to.equal((await status([], { objects: broken })).stdout);
      expect(third).to.equal(first);
      expect(more).to.deep.equal([]);
    });

    it('draws a terminal anew', async () => {
      const { stdout } = await status(['-w'], { objects: well, later: [broken] }, { terminal: true });
      const screens = stdout.split('\u001b[H\u001b[2J');
      expect(screens).to.have.length(3);
      expect(screens[2]).to.equal((await status([], { objects: broken })).stdout);
      expect(stdout).not.to.contain('---');
    });

    it('goes on while a workload has no Pods, and ends with the workload', async () => {
      const whole = [...broken, deployment];
      const ran = await status(['deploy/web', '-w'], { objects: whole, later: [[deployment], whole, []] });
      expect(ran.stdout.match(/^2 Pods/gm)).to.have.length(2);
      expect(ran.stderr).to.match(/^No split Pods found in shop namespace\.\nerror: There is no Deployment web/);
      expect(ran.exitCode).to.equal(2);
    });

    it('gives programs one document after the other', async () => {
      const cluster = { objects: well, later: [broken] };
      const yaml = parseManifests((await status(['-w', '-o', 'yaml'], cluster, { terminal: true })).stdout);
      expect(yaml.kind === 'documents' && yaml.documents).to.have.length(2);
      const json = (await status(['-w', '-o', 'json'], cluster)).stdout;
      expect(json.match(/^\{$/gm)).to.have.length(2);
    });

    it('looks every few seconds where it may not watch', async () => {
      const pauses: number[] = [];
      const client = clientOf({ objects: well });
      const unwatchable = {
        ...client,
        watch: () => {
          throw failure('Forbidden');
        },
      };
      const pause = (milliseconds: number): Promise<void> => {
        pauses.push(milliseconds);
        return pauses.length > 5 ? Promise.reject(new NoMore()) : Promise.resolve();
      };
      const connect = () => Promise.resolve({ client: unwatchable, namespace: 'shop' });
      expect((await status(['-w'], {}, { connect, pause })).exitCode).to.equal('watching');
      expect(pauses).to.include.members([5000, 1000]);
    });
  });
});
