/**
 * Reads a cluster and proves that no address is leaked or doubled, that split Pods are whole, and that nothing generated
 * is left over. Read-only.
 *
 *   node hack/check-invariants.ts [--wait [SECONDS]] [--quiet]
 *
 * With --wait it looks again until all holds, or until the time is up (60 seconds). Exits 1 with a line for each violation.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { KubeClient } from '../controller/kube/client.ts';
import { connect } from '../controller/kube/connect.ts';
import { isApiError } from '../controller/kube/errors.ts';
import { resources, type KubeObject, type Pod, type Resource } from '../controller/kube/resources.ts';
import { checks, rows, violations, type Row, type Snapshot } from './invariants.ts';
import { kubeconfig, kubectl } from './kubectl.ts';

const betweenLooksMs = 500;
const trash = '.trash';

/** `--wait` alone waits a minute. */
const args = process.argv
  .slice(2)
  .map((arg, i, all) => (arg === '--wait' && !/^\d/.test(all[i + 1] ?? '') ? '--wait=60' : arg));
const { values } = parseArgs({
  args,
  options: { wait: { type: 'string', default: '0' }, quiet: { type: 'boolean', default: false } },
});
const seconds = Number(values.wait);
if (!Number.isFinite(seconds) || seconds < 0) {
  throw new Error(`--wait ${values.wait}: a number of seconds is needed.`);
}

const client = connect({ kubeconfig });
const deadline = performance.now() + seconds * 1000;
let snapshot = await read(client);
let found = violations(snapshot);
while (found.length > 0 && performance.now() < deadline) {
  await delay(betweenLooksMs);
  snapshot = await read(client);
  found = violations(snapshot);
}
client.close();

if (!values.quiet) process.stdout.write(table(rows(snapshot)));
for (const { check, object, message } of found) process.stdout.write(`VIOLATION ${check}: ${object}: ${message}\n`);
const { pods, blocks } = snapshot;
const counted = `${rows(snapshot).length} pieces among ${pods.length} Pods, ${blocks.length} blocks`;
process.stdout.write(
  found.length === 0
    ? `${Object.keys(checks).length} invariants hold: ${counted}.\n`
    : `${found.length} violations: ${counted}.\n`,
);
process.exitCode = found.length === 0 ? 0 : 1;

/** The lists are of different moments: a Pod that comes or goes in between shows as a violation, and --wait looks again. */
async function read(from: KubeClient): Promise<Snapshot> {
  const pods = await list(from, resources.pods);
  const [blocks, networks, podSplits, nads, networkPolicies, multiNetworkPolicies, budgets] = await Promise.all([
    list(from, resources.addressBlocks),
    list(from, resources.splitNetworks),
    list(from, resources.podSplits),
    list(from, resources.networkAttachmentDefinitions),
    list(from, resources.networkPolicies),
    list(from, resources.multiNetworkPolicies),
    list(from, resources.podDisruptionBudgets),
  ]);
  const volumes = pods.filter(isDriver).flatMap(volumesOf);
  return {
    now: Date.now(),
    pods,
    blocks,
    networks,
    podSplits,
    nads,
    networkPolicies,
    multiNetworkPolicies,
    budgets,
    volumes,
  };
}

function isDriver({ metadata, status }: Pod): boolean {
  return (
    metadata.namespace === 'podsplit-node' &&
    metadata.labels?.['app.kubernetes.io/component'] === 'agent' &&
    metadata.deletionTimestamp === undefined &&
    status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
  );
}

/** What the API does not know: its container sees the folder as the node does. */
function volumesOf({ metadata, spec }: Pod): Snapshot['volumes'] {
  // Names with a dot too: what is being deleted, and what was never finished.
  const list = ['exec', '-n', metadata.namespace ?? '', metadata.name, '-c', 'volumes', '--', 'ls', '-A'];
  const namesIn = (folder: string): readonly string[] =>
    kubectl([...list, `/var/lib/podsplit/volumes/${folder}`])
      .split('\n')
      .filter((name) => name !== '');
  const folders = namesIn('').flatMap((name) =>
    name === trash ? namesIn(trash).map((removed) => `${trash}/${removed}`) : [name],
  );
  return folders.map((folder) => ({ node: spec?.nodeName ?? '', folder }));
}

/** A kind that the cluster does not have has no objects: podsplit may be uninstalled, Multus absent. */
async function list<T extends KubeObject>(from: KubeClient, resource: Resource<T>): Promise<readonly T[]> {
  try {
    return (await from.list(resource)).items;
  } catch (error) {
    if (isApiError(error, 'NotFound')) return [];
    throw error;
  }
}

function table(lines: readonly Row[]): string {
  if (lines.length === 0) return '';
  const header = ['POD', 'CONTAINER', 'ROLE', 'NODE', 'STATE', 'ADDRESSES', 'MAC', 'BLOCK'];
  const cells = lines.map((row) => [
    row.pod,
    row.container,
    row.role,
    row.node,
    row.state,
    row.addresses.join(' '),
    row.mac,
    row.block,
  ]);
  const all = [header, ...cells];
  const widths = header.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  return all
    .map(
      (line) =>
        `${line
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
