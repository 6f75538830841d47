import { isRecord } from '../api/json.ts';
import { defaultContainerAnnotation, ownLabels } from '../api/names.ts';
import type { Pod } from '../kube/resources.ts';
import { asAdmitted } from '../split/admitted.ts';
import { specOf } from '../split/pod.ts';
import { restore } from '../split/removed.ts';
import { CliError } from './cli-error.ts';
import { isReady, splitIn } from './find-pod.ts';
import type { Io } from './input.ts';
import { type KubectlArguments, readKubectlArguments } from './kubectl-arguments.ts';
import type { Verb } from './kubectl-flags.ts';
import { printable } from './table.ts';

/**
 * `kubectl podsplit logs|exec|debug POD -c CONTAINER`: kubectl's own command, given the piece that runs the container.
 * kubectl looks the pieces up too, so that whatever it takes to reach and to prove oneself to the cluster is said once.
 * Of a Pod that is not split it is what kubectl does.
 *
 * @returns kubectl's exit code
 * @throws CliError where no piece has the container
 */
export async function runOnPiece(verb: Verb, args: readonly string[], io: Io): Promise<number> {
  const asked = readKubectlArguments(verb, args);
  const found = await findPod(asked, io);
  if ('exitCode' in found) return found.exitCode;
  const { pod } = found;
  const split = splitOf(pod);
  if (split === undefined) return io.kubectl(commandOn(verb, asked, pod, asked.container));

  const listed = await list(asked, `${ownLabels.split}=${split}`, io);
  if ('exitCode' in listed) return listed.exitCode;
  // The primary has the label once it is wired.
  const pieces = listed.pods.some(({ metadata }) => metadata.uid === pod.metadata.uid)
    ? listed.pods
    : [pod, ...listed.pods];
  if (asked.allContainers) return io.kubectl(logsOfAll(asked, split, pieces));

  const container = asked.container ?? defaultContainer(pod, asked, io);
  return io.kubectl(commandOn(verb, asked, pieceWith(container, pod, pieces), container));
}

type Failed = { readonly exitCode: number };

/** A workload's Pods are as good as each other; kubectl too prefers one that is ready. */
async function findPod(asked: KubectlArguments, io: Io): Promise<{ readonly pod: Pod } | Failed> {
  const target = asked.target.includes('/') ? asked.target : `pod/${asked.target}`;
  const got = await read(['get', ...asked.connection, target, '-o', 'json'], io);
  if ('exitCode' in got) return got;
  const object = got.value;
  if (isPod(object)) return { pod: object };
  const selector = selectorOf(object);
  if (selector === undefined) throw new CliError(whyNoPods(asked.target, object));
  const listed = await list(asked, selector, io);
  if ('exitCode' in listed) return listed;
  const pod = listed.pods.find(isReady) ?? listed.pods[0];
  if (pod === undefined) throw new CliError(`${printable(asked.target)} has no Pod now.`);
  return { pod };
}

function whyNoPods(target: string, object: unknown): string {
  const takes = 'Name a Pod, or TYPE/NAME of a Deployment, StatefulSet, DaemonSet, ReplicaSet or Job.';
  // kubectl takes one for any Pod behind it, which may be of several workloads.
  const isService = isRecord(object) && object['kind'] === 'Service';
  return `${printable(target)} ${isService ? 'is a Service, which is not taken here' : 'has no Pods'}. ${takes}`;
}

async function list(
  { connection }: KubectlArguments,
  selector: string,
  io: Io,
): Promise<{ readonly pods: readonly Pod[] } | Failed> {
  const got = await read(['get', ...connection, 'pods', '-l', selector, '-o', 'json'], io);
  if ('exitCode' in got) return got;
  const items = isRecord(got.value) && Array.isArray(got.value['items']) ? got.value['items'] : [];
  return { pods: items.filter(isPod) };
}

async function read(args: readonly string[], io: Io): Promise<{ readonly value: unknown } | Failed> {
  const { exitCode, stdout } = await io.readKubectl(args);
  return exitCode === 0 ? { value: JSON.parse(stdout) as unknown } : { exitCode };
}

function isPod(value: unknown): value is Pod {
  return isRecord(value) && value['kind'] === 'Pod' && isRecord(value['metadata']);
}

/** `spec.selector` of a workload, as `kubectl get -l` takes it. */
function selectorOf(object: unknown): string | undefined {
  const spec = isRecord(object) ? object['spec'] : undefined;
  const selector = isRecord(spec) ? spec['selector'] : undefined;
  const labels = isRecord(selector) ? selector['matchLabels'] : undefined;
  if (!isRecord(labels)) return undefined;
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(',');
}

/** Undefined for a Pod whose containers are all in it. */
function splitOf(pod: Pod): string | undefined {
  return pod.metadata.labels?.[ownLabels.role] === 'isolated' ? undefined : splitIn(pod);
}

/** What kubectl would have chosen in the whole Pod. Who names a sibling has chosen. */
function defaultContainer(pod: Pod, { flags }: KubectlArguments, io: Io): string {
  const { labels = {}, annotations = {} } = pod.metadata;
  const own = labels[ownLabels.container] ?? specOf(pod).containers[0]?.name ?? '';
  if (labels[ownLabels.role] !== 'primary') return own;
  const { containers: names, initContainers } = wholeContainers(pod);
  const wanted = annotations[defaultContainerAnnotation];
  if (wanted !== undefined && names.includes(wanted)) return wanted;
  const first = names[0] ?? own;
  if (!flags.includes('-q') && !flags.includes('--quiet')) {
    io.stderr(
      `Defaulted container ${JSON.stringify(first)} out of: ${[...names, ...initContainers.map((name) => `${name} (init)`)].join(', ')}\n`,
    );
  }
  return first;
}

/** Their names in the order of the Pod before it was cut. */
function wholeContainers(primary: Pod): {
  readonly containers: readonly string[];
  readonly initContainers: readonly string[];
} {
  const restored = restore(asAdmitted(primary));
  const { containers, initContainers = [] } = specOf(restored.kind === 'whole' ? restored.pod : primary);
  return { containers: containers.map(({ name }) => name), initContainers: initContainers.map(({ name }) => name) };
}

function pieceWith(container: string, pod: Pod, pieces: readonly Pod[]): Pod {
  const piece =
    pieces.find(({ metadata }) => metadata.labels?.[ownLabels.container] === container) ??
    pieces.find((candidate) => containersIn(candidate).includes(container));
  if (piece !== undefined) return piece;
  const primary = pieces.find(({ metadata }) => metadata.labels?.[ownLabels.role] === 'primary') ?? pod;
  const whole = wholeContainers(primary);
  const named = [...whole.containers, ...whole.initContainers];
  if (named.includes(container)) {
    throw new CliError(
      `The piece that runs ${container} is not there yet: kubectl get podsplits says what it waits for.`,
    );
  }
  const known = new Set([...named, ...pieces.flatMap(containersIn)]);
  throw new CliError(
    `Pod ${primary.metadata.name} has no container ${JSON.stringify(container)}. It has: ${[...known].join(', ')}.`,
  );
}

function containersIn(pod: Pod): readonly string[] {
  const { containers, initContainers = [], ephemeralContainers = [] } = specOf(pod);
  return [...containers, ...initContainers, ...ephemeralContainers].map(({ name }) => name);
}

function commandOn(verb: Verb, asked: KubectlArguments, { metadata }: Pod, container: string | undefined): string[] {
  const flag = verb === 'debug' ? '--target' : '--container';
  return [
    verb,
    ...asked.connection,
    metadata.name,
    ...(container === undefined ? [] : [`${flag}=${container}`]),
    ...(asked.allContainers ? ['--all-containers'] : []),
    ...asked.flags,
    ...asked.command,
  ];
}

/** By the label, which kubectl takes for several Pods: of those it prints ten lines each, of one it prints all. */
function logsOfAll({ connection, flags }: KubectlArguments, split: string, pieces: readonly Pod[]): string[] {
  const has = (flag: string): boolean => flags.some((word) => word === flag || word.startsWith(`${flag}=`));
  const streams = pieces.flatMap(containersIn).length;
  return [
    'logs',
    ...connection,
    `--selector=${ownLabels.split}=${split}`,
    '--all-containers',
    ...(has('--tail') ? [] : ['--tail=-1']),
    ...(has('--max-log-requests') ? [] : [`--max-log-requests=${streams}`]),
    ...flags,
  ];
}
