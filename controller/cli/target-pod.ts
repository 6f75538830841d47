import type { KubeClient } from '../kube/client.ts';
import type { Pod } from '../kube/resources.ts';
import { CliError } from './cli-error.ts';
import { findPod, isReady } from './find-pod.ts';
import type { Io } from './input.ts';
import { podNamed } from './named-workload.ts';
import { readSubjects } from './status-subjects.ts';
import { printable } from './table.ts';

/**
 * The Pod that somebody names, or one of a workload's: they are as good as each other, and as kubectl does it prefers one
 * that is ready.
 *
 * @param target `POD` or `TYPE/NAME`
 * @throws CliError where it is not there, or not split
 */
export async function targetPod(
  client: KubeClient,
  { target, namespace }: { readonly target: string; readonly namespace: string },
  io: Pick<Io, 'stderr'>,
): Promise<Pod> {
  const name = podNamed(target);
  if (name !== undefined) return findPod(client, namespace, name);
  const query = { target, namespace, selector: undefined, mayBeNone: false };
  const pods = (await readSubjects(client, query)).splits.flatMap(({ primary }) => primary ?? []);
  const pod = pods.find(isReady) ?? pods[0];
  if (pod === undefined) throw new CliError(`${printable(target)} has no Pod now. Name a Pod, or ask again.`);
  if (pods.length > 1) {
    io.stderr(`${printable(target)} has ${pods.length} split Pods: this is of ${printable(pod.metadata.name)}.\n`);
  }
  return pod;
}
