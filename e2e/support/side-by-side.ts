// The same Pod whole and split: what it does whole it has to do split.

import { splitMode, succeeded } from './agents.ts';
import type { TestNamespace } from './namespace.ts';
import type { Pod } from './objects.ts';
import { splitPods } from './pieces.ts';

/** The annotations that make the difference. */
export const modes = { whole: {}, split: splitMode } as const;
export type Mode = keyof typeof modes;
export const both = Object.keys(modes) as readonly Mode[];

/**
 * Where a container is: in the whole Pod, or in its piece.
 *
 * @param app label of the workload's Pods
 * @param pod name of one of them, where there are several
 */
export async function podOf(namespace: TestNamespace, app: string, container: string, pod?: string): Promise<Pod> {
  const found = (await splitPods(namespace, app)).find(
    ({ primary }) => pod === undefined || primary.metadata.name === pod,
  );
  const piece = found?.pieces.get(container);
  if (piece === undefined) throw new Error(`no Pod ${pod ?? `of ${app}`} has a container ${container}`);
  return piece;
}

/** What a shell script printed there. */
export async function inContainer(
  namespace: TestNamespace,
  [app, container, pod]: readonly [app: string, container: string, pod?: string],
  script: string,
): Promise<string> {
  const { metadata } = await podOf(namespace, app, container, pod);
  return succeeded(await namespace.exec(metadata.name, container, ['sh', '-c', script]));
}
