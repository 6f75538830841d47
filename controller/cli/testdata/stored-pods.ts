import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { splitId } from '../../api/identity.ts';
import type { PodSplit } from '../../api/resources.ts';
import { isolate } from '../../isolate/isolate.ts';
import { wantsIsolation } from '../../isolate/judge.ts';
import type { KubeObject, Pod } from '../../kube/resources.ts';
import { cutPod } from '../../split/cut.ts';
import type { SplitOptions } from '../../split/plan.ts';
import { split } from '../../split/split.ts';
import { parseManifests } from '../manifest-yaml.ts';

const options: SplitOptions = {
  image: 'podsplit:1',
  maxContainers: 31,
  install: { byNetwork: new Map(), otherwise: 'node' },
};

export type Objects = readonly KubeObject[];

export function objectsOf(file: string): Objects {
  const parsed = parseManifests(readFileSync(join(import.meta.dirname, file), 'utf8'));
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  return parsed.documents as KubeObject[];
}

/** As admission leaves it, labelled as the controller does once it is wired. */
function admitted(pod: Pod): Pod {
  const { uid = '' } = pod.metadata;
  const withLabels = (of: Pod, role: string): Pod => ({
    ...of,
    metadata: {
      ...of.metadata,
      labels: { ...of.metadata.labels, 'podsplit.io/role': role, 'podsplit.io/split': splitId(uid) },
    },
  });
  if (wantsIsolation(pod)) {
    const { kind } = isolate(pod, options);
    if (kind !== 'isolate') throw new Error(kind);
    return withLabels(pod, 'isolated');
  }
  const plan = split(pod, options);
  if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));
  return withLabels(cutPod(pod, plan, options) as Pod, 'primary');
}

/** Of topology.yaml: whole Pods become primaries, with their siblings. */
export function stored(): Objects {
  return objectsOf('topology.yaml').flatMap((object): Objects => {
    if (object.kind === 'Pod') return [admitted(object as Pod)];
    const podSplit = object as unknown as PodSplit;
    const labels = { 'podsplit.io/split': splitId(podSplit.spec.pod.uid) };
    return [{ ...object, metadata: { ...object.metadata, labels } }, ...siblingsOf(podSplit, labels)];
  });
}

function siblingsOf({ metadata, status }: PodSplit, labels: Readonly<Record<string, string>>): readonly Pod[] {
  return (status?.pieces ?? [])
    .filter(({ role }) => role === 'sibling')
    .map(({ name, pod, podIPs = [] }) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: pod,
        namespace: metadata.namespace ?? '',
        uid: `uid-${pod}`,
        labels: { ...labels, 'podsplit.io/role': 'sibling', 'podsplit.io/container': name },
      },
      spec: { containers: [{ name, image: name }] },
      status: { phase: 'Running', podIPs: podIPs.map((ip) => ({ ip })) },
    }));
}
