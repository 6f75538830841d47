import { audit } from '../../controller/audit/report.ts';
import { formatHtml } from '../../controller/cli/audit-html.ts';
import { inputOfPods } from '../../controller/cli/audit-input.ts';
import type { Figure } from './figures.ts';
import { benchPod } from './pod.ts';

/** The audit of that many Pods of three containers, no two of one workload, from their JSON to a page. */
export function benchAudit(count: number): readonly Figure[] {
  const pods = Array.from({ length: count }, (_, index) => {
    const { metadata, spec } = benchPod(3);
    return { metadata: { ...metadata, name: `web-${index}`, uid: `uid-${index}` }, spec };
  });
  const surroundings = { networkPolicies: [], claims: [], jobs: [], serviceAccounts: [], namespaces: [] };
  const options = { image: '', maxContainers: 30, install: { otherwise: 'node', byNetwork: new Map() } } as const;
  const made = { at: '', by: '', from: '', without: [] };
  const start = performance.now();
  const { report } = audit(inputOfPods(pods, surroundings).candidates, made, () => options);
  if (report.workloads.length !== count) throw new Error('the Pods of the benchmark are not each a row');
  formatHtml(report);
  const seconds = (performance.now() - start) / 1000;
  return [{ name: `audit of ${count} Pods, to a page`, value: `${seconds.toFixed(1)} s`, goal: '5 s or less' }];
}
