/** What to know when a cluster comes to a version, from an older one. */
export interface VersionNote {
  /** The first that it is true of. */
  readonly version: string;
  readonly note: string;
}

/** The oldest first; docs/operations.md#upgrade has what is true of every upgrade. Before 0.1.0 there was no version. */
export const versionNotes: readonly VersionNote[] = [];

export interface Jump {
  /** Undefined: the cluster's was installed by manifests that do not say. */
  readonly from: string | undefined;
  readonly to: string;
  /** What the cluster is asked to pull from now on, and what it was before. */
  readonly image: { readonly from: string | undefined; readonly to: string };
  /** The values of the install are known. */
  readonly recorded: boolean;
  /** Split Pods of install mode init, as NAMESPACE/NAME of their workloads or of themselves. */
  readonly initPods: readonly string[];
  /** What has not finished its last rollout. */
  readonly rolling: readonly string[];
}

/** In sentences, the most important first. */
export function jumpNotes(jump: Jump, notes: readonly VersionNote[] = versionNotes): readonly string[] {
  const { from, to, image, recorded, initPods, rolling } = jump;
  const order = from === undefined ? undefined : compareVersions(from, to);
  return [
    direction(jump, order),
    ...(order !== undefined && order < 0
      ? notes
          .filter(({ version }) => between(version, from ?? '', to))
          .map(({ version, note }) => `${version}: ${note}`)
      : []),
    ...(order !== undefined && order > 0 ? [back] : []),
    ...rolling.map((what) => `${what} has not finished its last rollout: let it, or mend it, before you apply this.`),
    ...(recorded ? [] : [unrecorded]),
    ...(image.from === image.to && order !== 0 ? [`The image stays ${image.to}: name the new one by --image.`] : []),
    ...(initPods.length > 0 ? [initNote(initPods)] : []),
  ];
}

function direction({ from, to }: Jump, order: number | undefined): string {
  if (from === undefined) return `The cluster does not say which version it has. What is printed is ${to}.`;
  if (order === undefined) return `From ${from} to ${to}.`;
  if (order === 0) return `The cluster has ${to} already: what is printed sets right what was changed, and new values.`;
  return order < 0 ? `From ${from} to ${to}.` : `Back from ${from} to ${to}.`;
}

const back =
  'Fields of PodSplits and AddressBlocks that only the newer version knows stay as long as the CRDs have them: keep the CRDs, ' +
  'or kubectl rollout undo deployment and daemonset instead. Of pieces that the older agent cannot read it says so (SandboxUnread).';

const unrecorded =
  'There is no record of the values that were chosen, so only the image is kept: name the others by --values, and see with ' +
  'kubectl diff --server-side -f - what would change.';

function initNote(pods: readonly string[]): string {
  const named = pods.slice(0, 5).join(', ');
  const more = pods.length > 5 ? ` and ${pods.length - 5} more` : '';
  return `Of install mode init, and with the rules of the image that they started with until they are rolled out anew: ${named}${more}.`;
}

function between(version: string, from: string, to: string): boolean {
  const [after, until] = [compareVersions(from, version), compareVersions(version, to)];
  return after !== undefined && until !== undefined && after < 0 && until <= 0;
}

/** Negative where the first is the older; undefined where one is none of MAJOR.MINOR.PATCH. */
export function compareVersions(one: string, other: string): number | undefined {
  const [left, right] = [one, other].map((version) => /^v?(\d+)\.(\d+)\.(\d+)$/.exec(version)?.slice(1).map(Number));
  if (left === undefined || right === undefined) return undefined;
  return left.map((part, index) => part - (right[index] ?? 0)).find((difference) => difference !== 0) ?? 0;
}
