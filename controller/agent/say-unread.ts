import type { EventRecorder } from '../kube/events.ts';
import type { UnreadSandbox } from './sandbox-files.ts';

/** Once, when the agent starts: its log and its metrics say the same, but the Pod is where its owner looks. */
export function sayUnread(files: readonly UnreadSandbox[], events: Pick<EventRecorder, 'event'>): void {
  for (const { pod, why } of files) {
    if (pod === undefined) continue;
    events.event(
      { apiVersion: 'v1', kind: 'Pod', ...pod },
      'Warning',
      'SandboxUnread',
      'The rules of this piece stay as they are, and no change of flows or policies reaches it: the agent does not read ' +
        `what another version of it wrote of the sandbox. Delete the Pod, or install that version again. ${why}`,
    );
  }
}
