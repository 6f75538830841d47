// `make demo`: a web application in one Pod, what a compromised sidecar does in it, and what is left of that once the
// Deployment is annotated. Everything in the table at the end was seen in this run; a surprise makes the exit code 1.
//
//     node hack/demo.ts [--until whole|split|flows] [--image REF] [--samples-image REF]
//
// Without KUBECONFIG it boots the embedded cluster and builds and loads the images. With it, the cluster has to have
// Multus, and its nodes the images, or references they can pull must be given.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { userAnnotations } from '../controller/api/names.ts';
import { neededFlows, stages, trials, type Stage } from '../examples/web/trials.ts';
import { embedded, kubectl, runNode, startKubectl } from './demo/command.ts';
import { Narrator, type Cell } from './demo/narrator.ts';
import { webPods } from './demo/pods.ts';
import { steadyTraffic, type Traffic } from './demo/traffic.ts';
import { runTrial, type Verdict } from './demo/trial.ts';
import { buildImage } from './images/build.ts';
import { images, imageReference } from './images/recipes.ts';

const namespace = 'podsplit-demo';
const example = join(import.meta.dirname, '../examples/web');
const tell = new Narrator();
/** Tries statsd's management port by every address it has. */
const attacker = 'exporter';
const managementPort = 8126;
/** Two rounds of the agents' reports, and a moment. */
const toldWithinMs = 40_000;

interface StageStory {
  readonly title: string;
  /** Column of the table. */
  readonly column: string;
  readonly lesson: string;
}

const stories: Readonly<Record<Stage, StageStory>> = {
  whole: {
    title: 'Today: four containers in one Pod, one of them compromised',
    column: 'one Pod',
    lesson: 'One network namespace is one trust domain: all of the attacks were expected to succeed.',
  },
  split: {
    title: 'One annotation: a Pod and a network namespace for each container',
    column: 'split',
    lesson:
      'Ports that nobody declared are closed to peers, by any address, and nobody overhears anybody. A declared port ' +
      'is still open to every peer: that is the default.',
  },
  flows: {
    title: 'One more: who needs whom',
    column: 'split + flows',
    lesson: 'Only the three flows that the programs need are left.',
  },
};

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      until: { type: 'string', default: 'flows' },
      image: { type: 'string' },
      'samples-image': { type: 'string' },
    },
  });
  const last = stages.findIndex((stage) => stage === values.until);
  if (last < 0) throw new Error(`--until ${values.until}: one of ${stages.join(', ')} is needed`);

  const samplesImage = values['samples-image'] ?? imageReference('samples');
  const podsplitImage = values.image ?? imageReference('podsplit');
  if (last === 0) await prepareCluster(['samples'], [samplesImage]);
  else await prepareCluster(['podsplit', 'samples'], [podsplitImage, samplesImage]);
  if (last > 0) await installPodsplit(values.image);
  await deployExample(samplesImage);

  const seen = new Map<Stage, readonly Verdict[]>();
  const surprises: string[] = [];
  for (const stage of stages.slice(0, last + 1)) {
    tell.chapter(stories[stage].title);
    const traffic = await enter(stage);
    if (traffic !== undefined && traffic.failed > 0) {
      surprises.push(`${traffic.failed} of ${traffic.requests} requests failed during the rollout to "${stage}"`);
    }
    await show(stage);
    const verdicts = await tryAll(stage);
    seen.set(stage, verdicts);
    if (stage !== 'whole') surprises.push(...(await showDenials(stage)));
    const wrong = verdicts.filter(({ succeeded, expected }) => succeeded !== expected);
    surprises.push(
      ...wrong.map(({ trial, succeeded }) => `${stage}: ${trial.what}: ${succeeded ? 'succeeded' : 'failed'}`),
    );
    tell.say(`\n${stories[stage].lesson}`);
  }
  return summarise(seen, surprises);
}

async function prepareCluster(needed: readonly string[], references: readonly string[]): Promise<void> {
  tell.chapter('The cluster and the images');
  if (!embedded) {
    const context = await kubectl(['config', 'current-context']);
    tell.say(
      `KUBECONFIG names a cluster: ${context.trim()}. It needs Multus, and nodes that have these images or can pull`,
    );
    tell.say(`them: ${references.join(', ')}. \`make image\` writes them as archives.`);
    return;
  }
  await step(['hack/cluster/up.ts']);
  const built = [];
  for (const recipe of images.filter(({ name }) => needed.includes(name))) {
    const image = await buildImage(recipe);
    tell.say(`${image.reference}: ${image.tar}`);
    built.push(image.tar);
  }
  await step(['hack/cluster/load.ts', ...built]);
}

async function installPodsplit(image: string | undefined): Promise<void> {
  tell.chapter('podsplit, once per cluster');
  await step(['hack/install.ts', ...(image === undefined ? [] : ['--image', image])]);
}

/** One of the project's own programs, shown and run. The first of them builds a cluster where nothing is built yet. */
async function step(argv: readonly string[]): Promise<void> {
  tell.command(['node', ...argv]);
  const { status } = await runNode(argv, tell.outputAsItComes());
  if (status !== 0) throw new Error(`${argv.join(' ')} did not succeed`);
}

async function deployExample(image: string): Promise<void> {
  tell.chapter('The example: nginx, php-fpm, an exporter and statsd, which talk by localhost');
  // The example's statsd is root, which the restricted Pod Security Standard does not allow: that is for an attack to show.
  const labels = { 'pod-security.kubernetes.io/enforce': 'baseline' };
  const manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } };
  await kube(['apply', '-f', '-'], JSON.stringify(manifest));
  for (const file of ['web.yaml', 'client.yaml']) {
    const text = readFileSync(join(example, file), 'utf8');
    await kube(
      ['-n', namespace, 'apply', '-f', `examples/web/${file}`],
      text.replaceAll(imageReference('samples'), image),
    );
  }
  await settle(['wait', '--for=condition=Ready', 'pod/client', '--timeout=90s']);
}

/** Brings the Deployment to the stage; requests go on all the while where it ran before. */
async function enter(stage: Stage): Promise<Traffic | undefined> {
  const { mode, flows } = userAnnotations;
  const annotations: Readonly<Record<Stage, readonly string[]>> = {
    whole: [`${mode}-`, `${flows}-`],
    split: [`${mode}=split`, `${flows}-`],
    flows: [`${mode}=split`, `${flows}=${neededFlows}`],
  };
  const traffic = stage === 'whole' ? undefined : steadyTraffic(namespace);
  await kube(['-n', namespace, 'annotate', '--overwrite', 'deployment/web', ...annotations[stage]]);
  await settle(['rollout', 'status', 'deployment/web', '--timeout=120s']);
  if (traffic === undefined) return undefined;
  const sent = await traffic.stop();
  const tone = sent.failed === 0 ? 'good' : 'bad';
  tell.say(`Requests through the Service during the rollout: ${sent.requests}, of which ${sent.failed} failed.`, tone);
  return sent;
}

async function show(stage: Stage): Promise<void> {
  await kube(['-n', namespace, 'get', 'pods', '-o', 'wide']);
  if (stage === 'whole') return;
  await kube(['-n', namespace, 'get', 'podsplits,network-attachment-definitions']);
  for (const pod of await webPods(namespace)) {
    tell.say(`The pieces of ${pod.name}, and the addresses of each:`);
    for (const [container, { pod: piece, own }] of pod.containers)
      tell.say(`  ${container}: ${piece}: ${own.join(', ')}`);
  }
}

async function tryAll(stage: Stage): Promise<readonly Verdict[]> {
  const [pod] = await webPods(namespace);
  if (pod === undefined) throw new Error('no Pod of the Deployment runs');
  const verdicts: Verdict[] = [];
  for (const trial of trials) {
    tell.say(`\n${trial.kind === 'duty' ? 'Duty' : 'Attack'}: ${trial.what}`);
    const verdict = await runTrial(trial, stage, namespace, pod, (args) => {
      tell.command(['kubectl', ...args]);
    });
    tell.output(verdict.output);
    tell.say(`=> ${word(verdict)}${verdict.seen === undefined ? '' : `: ${verdict.seen}`}`, tone(verdict));
    verdicts.push(verdict);
  }
  return verdicts;
}

/**
 * What left the attacker's piece without leave was dropped and recorded there, and the agent has carried it to the PodSplit.
 * So is a loopback port without a flow: nothing redirects it, and the call is refused in the attacker's own namespace.
 */
async function showDenials(stage: Stage): Promise<readonly string[]> {
  const [pod] = await webPods(namespace);
  const command = ['flows', '-n', namespace, pod?.name ?? ''];
  tell.say('\nWhat may pass, and what the pieces dropped. The node agents tell it every 15 seconds:');
  tell.command(['kubectl', 'podsplit', ...command]);
  const isTold = new RegExp(`^${attacker}\\s.*\\b${managementPort}/tcp`, 'm');
  const deadline = performance.now() + toldWithinMs;
  for (;;) {
    const { status, output } = await runNode(['controller/cli/main.ts', ...command]);
    const told = status === 0 && isTold.test(output);
    if (told || performance.now() > deadline) {
      tell.output(output, Infinity);
      return told ? [] : [`${stage}: nothing on port ${managementPort} was told of ${attacker}'s piece`];
    }
    await pause(1000);
  }
}

function word({ trial, succeeded }: Verdict): string {
  if (trial.kind === 'duty') return succeeded ? 'works' : 'BROKEN';
  return succeeded ? 'succeeds' : 'fails';
}

function tone({ trial, succeeded }: Verdict): Cell['tone'] {
  return succeeded === (trial.kind === 'duty') ? 'good' : 'bad';
}

function summarise(seen: ReadonlyMap<Stage, readonly Verdict[]>, surprises: readonly string[]): number {
  tell.chapter('What was seen');
  const columns = [...seen.keys()].map((stage) => stories[stage].column);
  const rows = trials.map((trial, index) => {
    const cells = [...seen.values()].flatMap((verdicts) => verdicts[index] ?? []);
    const first: Cell = { text: `${trial.kind === 'duty' ? '' : 'attack: '}${trial.what}`, tone: 'plain' };
    return [first, ...cells.map((verdict) => ({ text: word(verdict), tone: tone(verdict) }))];
  });
  tell.table(['', ...columns], rows);
  for (const surprise of surprises) tell.say(`NOT AS EXPECTED: ${surprise}`, 'bad');
  tell.say(`\nIt stays up: kubectl -n ${namespace} get pods. \`make uninstall\` makes every Pod whole again.`);
  return surprises.length === 0 ? 0 : 1;
}

/** Waits as kubectl does; where that fails, the Pods and their warnings say why: an image that no node has, for one. */
async function settle(args: readonly string[]): Promise<void> {
  try {
    await kube(['-n', namespace, ...args]);
  } catch (error) {
    await kube(['-n', namespace, 'get', 'pods', '-o', 'wide']);
    await kube(['-n', namespace, 'events', '--types=Warning']);
    throw error;
  }
}

/** Shows a kubectl command, runs it, shows its output; its failure ends the demo. */
async function kube(args: readonly string[], input?: string): Promise<void> {
  tell.command(['kubectl', ...args]);
  const shown = args.map((word) => (input !== undefined && args[args.indexOf(word) - 1] === '-f' ? '-' : word));
  const { status, output } = await startKubectl(shown, input).ended;
  tell.output(output);
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')} did not succeed`);
}

try {
  process.exitCode = await main();
} catch (error) {
  tell.say(`demo: ${error instanceof Error ? error.message : String(error)}`, 'bad');
  process.exitCode = 1;
}
