// Takes the NetworkPolicy engine from the nodes, and gives it back: for what has to hold without one. A cluster that was left
// without is not well (status.ts), so that `make cluster` boots it anew.

import { nodes } from './names.ts';
import { enter, startKubelet, stopInNode } from './nodes.ts';
import { attempt, run } from './run.ts';

const engine = 'kube-router';

/** What it programmed goes too, as on nodes that never had one; of whatever else is in the same tables nothing does. */
const forget = `
for tables in iptables ip6tables; do
  $tables-save -t filter > /run/filter
  grep -vE 'KUBE-(ROUTER|NWPLCY|POD-FW)' /run/filter | $tables-restore
done
rm /run/filter
for set in $(ipset list -name | grep -E '^(inet6:)?KUBE-(SRC|DST)-'); do ipset destroy "$set"; done
! { iptables-save; ip6tables-save; ipset list -name; } | grep -E 'KUBE-(ROUTER|NWPLCY|POD-FW|SRC-|DST-)'`;

/** @param count how many nodes the cluster has */
export async function takePolicyEngine(count: number): Promise<void> {
  for (const { name } of nodes(count)) {
    await stopInNode(name, engine);
    await run(enter(name, ['bash', '-euo', 'pipefail', '-c', forget]));
  }
}

/** To those that have none. */
export async function givePolicyEngine(count: number): Promise<void> {
  for (const node of nodes(count)) {
    if (!(await attempt(enter(node.name, ['ps', '-C', engine])))) await startKubelet(node, [engine]);
  }
}
