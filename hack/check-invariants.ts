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
import { connect } from '../controller/kube/connect.ts';
import { checks, rows, violations, type Row } from './invariants.ts';
import { kubeconfig } from './kubectl.ts';
import { readSnapshot } from './snapshot.ts';

const betweenLooksMs = 500;

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
let snapshot = await readSnapshot(client);
let found = violations(snapshot);
while (found.length > 0 && performance.now() < deadline) {
  await delay(betweenLooksMs);
  snapshot = await readSnapshot(client);
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
