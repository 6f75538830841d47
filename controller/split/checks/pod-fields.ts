import { runningContainers, specOf } from '../pod.ts';
import type { Finding, Subject } from './subject.ts';

const hostNamespaceFields = ['hostNetwork', 'hostPID', 'hostIPC'] as const;

export function hostNamespaces({ pod }: Subject): Finding[] {
  return hostNamespaceFields
    .filter((field) => specOf(pod)[field] === true)
    .map((field) => ({
      path: `spec.${field}`,
      message: 'The Pod shares a namespace of the node with every other such Pod.',
      action: `Remove ${field}, or do not split this Pod.`,
    }));
}

export function sharedProcessNamespace({ pod }: Subject): Finding[] {
  if (specOf(pod).shareProcessNamespace !== true) return [];
  return [
    {
      path: 'spec.shareProcessNamespace',
      message: "The containers see and signal each other's processes, which pieces cannot.",
      action: 'Remove shareProcessNamespace, or do not split this Pod.',
    },
  ];
}

export function windows({ pod }: Subject): Finding[] {
  const spec = specOf(pod);
  const signs: readonly [string, string | undefined][] = [
    ['spec.os.name', spec.os?.name],
    ['spec.nodeSelector[kubernetes.io/os]', spec.nodeSelector?.['kubernetes.io/os']],
  ];
  return signs
    .filter(([, os]) => os?.toLowerCase() === 'windows')
    .map(([path]) => ({
      path,
      message: 'The Pod runs on Windows, where podsplit has no rules to load.',
      action: 'Do not split this Pod.',
    }));
}

export function podLevelResources({ pod }: Subject): Finding[] {
  const { resources } = specOf(pod);
  if (Object.keys(resources ?? {}).length === 0) return [];
  return [
    {
      path: 'spec.resources',
      message: 'The resources are for the Pod as a whole, and nothing tells which piece gets what.',
      action: 'Give each container resources of its own.',
    },
  ];
}

export function nodeName({ pod }: Subject): Finding[] {
  const name = specOf(pod).nodeName ?? '';
  if (name === '') return [];
  return [
    {
      path: 'spec.nodeName',
      message: `The Pod is bound to node ${JSON.stringify(name)} at its birth, so that no gate can hold it until it is wired.`,
      action: 'Use nodeSelector or node affinity.',
    },
  ];
}

export function tooManyContainers({ pod, options }: Subject): Finding[] {
  const containers = runningContainers(specOf(pod));
  if (containers.length <= options.maxContainers) return [];
  return [
    {
      path: 'spec.containers',
      message: `The Pod has ${containers.length} containers, an address block has room for ${options.maxContainers}.`,
      action: 'Use a SplitNetwork with larger blocks, or fewer containers.',
    },
  ];
}
