// Pods that tell in their logs when each of their containers started and ended, and whether a native sidecar answered it then.

import { ownLabels } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { startKubectl } from '../../hack/demo/command.ts';
import { agentProgram, restricted } from './agents.ts';
import type { TestNamespace } from './namespace.ts';
import { containerStatus, type ContainerStatus, type Pod } from './objects.ts';

const source = agentProgram.metadata.name;

/** `say` prints the time of the node that all pieces are on; `ask` what s1 answers on loopback. */
const words = `say() { echo "$(date +%s%N) $*"; }; ask() { exec 3<>/dev/tcp/127.0.0.1/7100 && cat <&3; };`;
const forEver = 'while :; do sleep 1 & wait $!; done';

export function container(name: string, script: string) {
  return {
    name,
    image: imageReference('samples'),
    command: ['bash', '-c', `${words} ${script}`],
    env: [{ name: 'AGENT', value: name }],
    resources: { requests: { cpu: '5m', memory: '16Mi' } },
    securityContext: restricted,
  };
}

/** Takes a while until it serves, on its loopback. @param until a condition of the shell that it waits for first */
export function slowSidecar(until = 'sleep 2') {
  const serve = 'python3 -u /agent/agent.py serve tcp:127.0.0.1:7100 & say s1 serves; wait';
  return {
    ...container('s1', `trap 'say s1 ends; kill %1; exit 0' TERM; say s1 runs; ${until}; ${serve}`),
    restartPolicy: 'Always',
    ports: [{ containerPort: 7100 }],
    startupProbe: {
      exec: { command: ['bash', '-c', 'echo > /dev/tcp/127.0.0.1/7100'] },
      periodSeconds: 1,
      failureThreshold: 600,
    },
    volumeMounts: [{ name: source, mountPath: '/agent' }],
  };
}

/** At its end it asks for the last time. */
export function app(name: string, before = ':') {
  const trap = `trap '${before}; say "${name} ends, heard $(ask 2>&1)"; exit 0' TERM`;
  return container(name, `${trap}; say "${name} runs, heard $(ask 2>&1)"; ${forEver}`);
}

/** What starts: a, s1, b, s2, then app and helper. helper ends long after app, and needs s1 until then. */
export const orderedPod = {
  automountServiceAccountToken: false,
  terminationGracePeriodSeconds: 25,
  initContainers: [
    container('a', `say "a runs, heard $(timeout 1 bash -c '${words} ask' 2>/dev/null || echo nobody)"`),
    slowSidecar(),
    container('b', `say "b runs, heard $(ask 2>&1)"`),
    { ...container('s2', `trap 'say s2 ends; exit 0' TERM; say s2 runs; ${forEver}`), restartPolicy: 'Always' },
  ],
  containers: [app('app'), app('helper', 'sleep 4')],
  volumes: [{ name: source, configMap: { name: source } }],
};

export interface Place {
  readonly pod: Pod;
  readonly container: string;
}

/** Where each of these containers runs: in the Pod, or in a piece of it. */
export async function placesOf(
  namespace: TestNamespace,
  app: string,
  containers: readonly string[],
): Promise<ReadonlyMap<string, Place>> {
  const pods = await namespace.list<Pod>('pods');
  const primary = pods.find((pod) => pod.metadata.labels?.['app'] === app);
  if (primary === undefined) throw new Error(`no Pod of ${app}`);
  const split = primary.metadata.labels?.[ownLabels.split];
  const pieces = pods.filter((pod) => split !== undefined && pod.metadata.labels?.[ownLabels.split] === split);
  return new Map(
    containers.map((container) => {
      const own = pieces.find((pod) => pod.metadata.labels?.[ownLabels.container] === container);
      return [container, { pod: own ?? primary, container }];
    }),
  );
}

export function statusOf({ pod, container }: Place): ContainerStatus | undefined {
  return containerStatus(pod, container);
}

/** What the containers said, in the order of time. @param follow until each has ended */
export async function said(
  namespace: TestNamespace,
  places: ReadonlyMap<string, Place>,
  follow = false,
): Promise<readonly string[]> {
  const logs = await Promise.all(
    [...places.values()].map(({ pod, container }) => {
      const args = ['-n', namespace.name, 'logs', pod.metadata.name, '-c', container, ...(follow ? ['-f'] : [])];
      return startKubectl(args).ended;
    }),
  );
  return logs
    .flatMap(({ stdout }) => stdout.split('\n'))
    .filter((line) => /^\d{19} /.test(line))
    .toSorted((one, other) => (BigInt(one.slice(0, 19)) < BigInt(other.slice(0, 19)) ? -1 : 1))
    .map((line) => line.slice(20));
}
