// Pods of mode isolate, as the tests make and find them.

import type { agents, Target } from './agents.ts';
import { eventually } from './eventually.ts';
import type { TestNamespace } from './namespace.ts';
import type { Pod } from './objects.ts';
import { isReady } from './pieces.ts';

export const isolateMode = { 'podsplit.io/mode': 'isolate' } as const;

type AgentsSpec = ReturnType<typeof agents>;

/** Each container with a UID of its own. */
export function withUsers(spec: AgentsSpec, users: Readonly<Record<string, number>>): AgentsSpec {
  return {
    ...spec,
    containers: spec.containers.map((container) => ({
      ...container,
      securityContext: { ...container.securityContext, runAsUser: users[container.name]! },
    })),
  };
}

/** Of the workload whose Pods carry `app=NAME`: until there is one, and it is ready. */
export function isolatedPod(namespace: TestNamespace, app: string): Promise<Pod> {
  return eventually(`the isolated Pod of ${app} is ready`, async () => {
    const pods = (await namespace.list<Pod>('pods', { labelSelector: `app=${app},podsplit.io/role=isolated` })).filter(
      ({ metadata }) => metadata.deletionTimestamp === undefined,
    );
    const [found] = pods;
    if (pods.length !== 1 || found === undefined || !isReady(found)) {
      throw new Error(`${pods.length} Pods: ${pods.map((each) => JSON.stringify(each.status.conditions)).join()}`);
    }
    return found;
  });
}

export function targets(addresses: readonly string[], protocol: 'tcp' | 'udp', port: number): readonly Target[] {
  return addresses.map((address) => [protocol, address, port]);
}

/** `NAME ADDRESS`, as the program answers. */
export function server(answer: string | undefined): string | undefined {
  return answer?.split(' ')[0];
}
