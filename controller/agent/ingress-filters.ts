import type { Host } from '../netns/host.ts';

/**
 * Does tc have filters on what comes in by that device? It sees frames before the agent's own filter does, and a program of
 * an eBPF data plane that redirects them passes around it. Programs attached by tcx are not listed by tc.
 */
export async function hasIngressFilters(device: string, node: Host): Promise<boolean> {
  const { status, stdout } = await node.run(['tc', '-json', 'filter', 'show', 'dev', device, 'ingress']);
  // Without clsact there is nothing to list, and some versions call that an error.
  const listed: unknown = status === 0 && stdout.trim() !== '' ? JSON.parse(stdout) : [];
  return Array.isArray(listed) && listed.length > 0;
}
