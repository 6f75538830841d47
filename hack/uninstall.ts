/**
 * `make uninstall`: takes podsplit off the cluster and leaves whole Pods. The order matters: first nothing new is split,
 * then what is split is made whole by ordinary rollouts while the controller still cleans up behind it, and only then do
 * the controller and its CRDs go.
 *
 *   node hack/uninstall.ts [--delete-bare-pods]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { wholePatch } from '../controller/manifests/whole-patch.ts';
import { kubectl, tryKubectl } from './kubectl.ts';
import { manifests } from './manifests.ts';

const workloadKinds = ['deployments', 'statefulsets', 'daemonsets', 'replicasets', 'cronjobs', 'jobs'];

interface Item {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly controller?: boolean }[];
  };
  readonly spec?: unknown;
}

function list(args: readonly string[]): readonly Item[] {
  const output = tryKubectl(['get', ...args, '-o', 'json']);
  if (output === undefined) return [];
  const parsed = JSON.parse(output) as { readonly items: readonly Item[] };
  return parsed.items;
}

/** Says whether there was something to remove. */
function unannotate(item: Item): boolean {
  const patch = wholePatch({ ...item, metadata: { ...item.metadata } });
  if (patch === undefined) return false;
  const { name, namespace = '' } = item.metadata;
  console.log(`  ${item.kind} ${namespace}/${name}: annotations removed, rolls out whole Pods`);
  kubectl(['-n', namespace, 'patch', item.kind.toLowerCase(), name, '--type=merge', '-p', JSON.stringify(patch)]);
  return true;
}

function splitPods(): readonly Item[] {
  return list(['pods', '-A', '-l', 'podsplit.io/role in (primary,sibling,isolated)']);
}

function waitUntil(what: string, holds: () => boolean, seconds: number): void {
  const deadline = Date.now() + seconds * 1000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`${what}: not after ${seconds} s`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  }
}

export function uninstall(deleteBarePods: boolean): void {
  // Without the webhook nothing would tell such a namespace's Pods from others, and they would all be replaced at once.
  const labelled = list(['namespaces', '-l', 'podsplit.io/mode']).map(({ metadata }) => metadata.name);
  if (labelled.length > 0) {
    throw new Error(
      `these namespaces have their Pods split: ${labelled.join(', ')}. Take the label away (kubectl label namespace NAME ` +
        'podsplit.io/mode-), restart their workloads, and run again. Nothing was changed.',
    );
  }
  const bare = splitPods().filter(
    (pod) => !(pod.metadata.ownerReferences?.some((owner) => owner.controller === true) ?? false),
  );
  if (bare.length > 0 && !deleteBarePods) {
    const names = bare.map((pod) => `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`).join(', ');
    throw new Error(
      `nothing would make these Pods anew: ${names}. Delete them first, or run again with --delete-bare-pods. Nothing was changed.`,
    );
  }

  console.log('1. No new Pod is split');
  tryKubectl(['delete', 'mutatingwebhookconfiguration', 'podsplit', '--ignore-not-found']);

  console.log('2. Split Pods become whole');
  const changed = workloadKinds.flatMap((kind) => list([kind, '-A'])).filter(unannotate);
  for (const pod of bare) {
    kubectl(['-n', pod.metadata.namespace ?? '', 'delete', 'pod', pod.metadata.name, '--wait=false']);
  }
  // What a rollout does not replace: StatefulSets and DaemonSets with OnDelete, bare ReplicaSets, running Jobs.
  changed.filter((item) => rolling.includes(item.kind)).forEach(awaitRollout);
  for (const pod of list(['pods', '-A', '-l', 'podsplit.io/role in (primary,isolated)'])) {
    tryKubectl(['-n', pod.metadata.namespace ?? '', 'delete', 'pod', pod.metadata.name, '--wait=false']);
  }
  waitUntil('pieces are gone', () => splitPods().length === 0, 180);
  if (tryKubectl(['-n', 'podsplit-system', 'get', 'deployment', 'podsplit']) !== undefined) {
    waitUntil('generated objects are gone', () => generated().length === 0, 60);
  }

  console.log('3. The agents, the controller, its guards and its resources go');
  keepPolicies();
  // Each agent takes the plugin off its node when it is told that its DaemonSet is gone, and for that it has to ask.
  tryKubectl(['-n', 'podsplit-node', 'delete', 'daemonset', 'podsplit-agent', '--ignore-not-found', '--wait=true']);
  waitUntil('the agents are gone', () => list(['pods', '-n', 'podsplit-node']).length === 0, 60);
  tryKubectl(['delete', '--ignore-not-found', '--wait=true', '-f', '-'], { input: manifests(), timeoutMs: 120_000 });
  for (const namespace of ['podsplit-system', 'podsplit-node']) {
    waitUntil(`${namespace} is gone`, () => tryKubectl(['get', 'namespace', namespace]) === undefined, 60);
  }
  // They say nothing any more.
  tryKubectl(['label', 'namespaces', '-l', 'podsplit.io/guards', 'podsplit.io/guards-']);
}

/** They go with their CRD, and are somebody's work. */
function keepPolicies(): void {
  if (list(['containernetworkpolicies', '-A']).length === 0) return;
  mkdirSync(dirname(policiesFile), { recursive: true });
  writeFileSync(policiesFile, kubectl(['get', 'containernetworkpolicies', '-A', '-o', 'yaml']));
  console.log(`  ContainerNetworkPolicies go with podsplit; they are kept in ${policiesFile}`);
}

const policiesFile = join('dist', 'containernetworkpolicies.yaml');

/** Kinds that replace their Pods by themselves, one after the other. */
const rolling: readonly string[] = ['Deployment', 'StatefulSet', 'DaemonSet'];

/** One that was sick before, or waits for somebody to delete its Pods (OnDelete), is passed over: they are deleted next. */
function awaitRollout({ kind, metadata: { name, namespace = '' } }: Item): void {
  const status = ['-n', namespace, 'rollout', 'status', `${kind.toLowerCase()}/${name}`, '--timeout=180s'];
  if (tryKubectl(status) === undefined)
    console.log(`  ${kind} ${namespace}/${name} did not finish its rollout: going on`);
}

function generated(): readonly Item[] {
  return [
    ...list(['network-attachment-definitions', '-A', '-l', 'app.kubernetes.io/managed-by=podsplit']),
    ...list(['networkpolicies', '-A', '-l', 'app.kubernetes.io/managed-by=podsplit']),
    ...list(['poddisruptionbudgets', '-A', '-l', 'app.kubernetes.io/managed-by=podsplit']),
    ...list(['addressblocks']),
    ...list(['podsplits', '-A']),
  ];
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { 'delete-bare-pods': { type: 'boolean', default: false } } });
  try {
    uninstall(values['delete-bare-pods']);
    console.log('podsplit is gone; every workload runs whole Pods');
  } catch (error) {
    console.error(`uninstall: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
