import { onNode } from './node.ts';

/** Resident, in MiB, oldest first, by node and program: `node1 agent`. */
export type MemorySamples = Map<string, number[]>;

/** Adds what podsplit's programs on this node hold now. */
export async function sampleMemory(node: string, samples: MemorySamples): Promise<void> {
  const listed = await onNode(node, ['ps', '-eo', 'rss=,args=']);
  for (const [, kibibytes, program] of listed.matchAll(
    /^\s*(\d+) \/usr\/bin\/node .*\/(podsplit|agent|volumes)\.js\b/gm,
  )) {
    const key = `${node} ${program}`;
    samples.set(key, [...(samples.get(key) ?? []), Number(kibibytes) / 1024]);
  }
}
