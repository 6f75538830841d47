import { NetnsError } from '../netns/netns-error.ts';
import { AgentError } from './agent-error.ts';
import type { CniRequest, PodIdentity } from './cni-request.ts';

/** What is remembered of a DEL, so that an ADD that it overtook does nothing any more. */
const maxEnded = 10_000;

/** Sandboxes that the runtime has ended, oldest first: a container id never comes back. */
export class EndedSandboxes {
  private readonly ids = new Set<string>();

  add(id: string): void {
    this.ids.add(id);
    dropOldest(this.ids, maxEnded);
  }

  /**
   * @param gone aborted once nobody waits for the answer
   * @throws AgentError Cancelled where nobody wants the sandbox any more
   */
  expectWanted(id: string, gone: AbortSignal): void {
    if (this.ids.has(id)) {
      throw new AgentError('Cancelled', `the runtime has ended the sandbox ${id} meanwhile`);
    }
    if (gone.aborted) throw new AgentError('Cancelled', 'the plugin gave up waiting');
  }
}

/** Both keep the order in which their entries came. */
export function dropOldest(entries: Set<string> | Map<string, unknown>, most: number): void {
  for (const oldest of entries.keys()) {
    if (entries.size <= most) break;
    entries.delete(oldest);
  }
}

/** @throws AgentError PodNotFound */
export function identityOf({ pod, containerID }: CniRequest): PodIdentity {
  if (pod !== undefined) return pod;
  throw new AgentError('PodNotFound', `the runtime did not say of which Pod the sandbox ${containerID} is (CNI_ARGS)`);
}

/** What the kernel refuses, in the plugin's words. */
export async function rulesErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NetnsError)) throw error;
    throw new AgentError('RulesFailed', `${error.message} (${error.code})`, { cause: error });
  }
}

/** CNI specification 1.1, GC: of this network, what is not listed is gone. */
export function goneOf(
  { config }: CniRequest,
  sandboxes: readonly { readonly id: string; readonly network: string }[],
): readonly string[] {
  const valid = new Set(config.validAttachments.map(({ containerID }) => containerID));
  return sandboxes.filter(({ id, network }) => network === config.name && !valid.has(id)).map(({ id }) => id);
}
