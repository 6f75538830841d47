import { userAnnotations } from '../../api/names.ts';
import { specOf } from '../pod.ts';
import { itemsOf } from '../downward-api.ts';
import { type DividedSubject, type Finding, type Subject, allContainers, indexed } from './subject.ts';

export function privilegedContainers({ pod }: Subject): Finding[] {
  return allContainers(specOf(pod))
    .filter(({ container }) => container.securityContext?.privileged === true)
    .map(({ container, path }) => ({
      path: `${path}.securityContext.privileged`,
      message: `Container ${JSON.stringify(container.name)} is privileged: no rule on its node holds it.`,
      action: 'Take the privilege away, or do not split this Pod.',
    }));
}

/** capabilities(7), each with what it lets a container do to the rules. */
const networkCapabilityReasons = new Map([
  ['ALL', 'has NET_ADMIN among all others'],
  ['NET_ADMIN', 'changes the rules of its network namespace'],
  ['SYS_ADMIN', 'enters other namespaces and mounts'],
  ['SYS_MODULE', 'loads code into the kernel'],
]);

export function networkCapabilities({ pod }: Subject): Finding[] {
  return allContainers(specOf(pod)).flatMap(({ container, path }) => {
    const capabilities = indexed(
      container.securityContext?.capabilities?.add,
      `${path}.securityContext.capabilities.add`,
    ).flatMap(({ item, path }): Finding[] => {
      // Some runtimes take the kernel's long form and lower case as well.
      const reason = networkCapabilityReasons.get(item.toUpperCase().replace(/^CAP_/, ''));
      if (reason === undefined) return [];
      return [
        {
          path,
          message: `Container ${JSON.stringify(container.name)} adds ${item}, with which it ${reason}.`,
          action: 'Remove the capability, or do not split this Pod.',
        },
      ];
    });
    if (container.securityContext?.procMount !== 'Unmasked') return capabilities;
    return [
      ...capabilities,
      {
        path: `${path}.securityContext.procMount`,
        message: `Container ${JSON.stringify(container.name)} may write to /proc/sys/net, and so change what the rules rest on.`,
        action: 'Remove procMount, or do not split this Pod.',
      },
    ];
  });
}

/** The Pod ends with its primary, and a native sidecar keeps no Pod alive. */
export function nativeSidecarAsPrimary({ pod, division: { primary } }: DividedSubject): Finding[] {
  if (specOf(pod).containers.some(({ name }) => name === primary.name)) return [];
  return [
    {
      path: `metadata.annotations[${userAnnotations.primary}]`,
      message: `${JSON.stringify(primary.name)} is a native sidecar: it starts before the containers and ends after them.`,
      action: 'Name one of spec.containers.',
    },
  ];
}

/** An API server would refuse it, and never sees those together that become pieces. */
export function namesTwice({ pod }: Subject): Finding[] {
  const { containers, initContainers } = specOf(pod);
  const names = new Set(containers.map(({ name }) => name));
  return indexed(initContainers, 'spec.initContainers')
    .filter(({ item }) => names.has(item.name))
    .map(({ item, path }) => ({
      path: `${path}.name`,
      message: `The Pod has a container ${JSON.stringify(item.name)} as well.`,
      action: 'Choose another name.',
    }));
}

export function missingVolumes({ pod }: Subject): Finding[] {
  const spec = specOf(pod);
  const names = new Set((spec.volumes ?? []).map((volume) => volume.name));
  return allContainers(spec).flatMap(({ container, path }) =>
    [
      ...indexed(container.volumeMounts, `${path}.volumeMounts`),
      ...indexed(container.volumeDevices, `${path}.volumeDevices`),
    ]
      .filter(({ item }) => !names.has(item.name))
      .map(({ item, path }) => ({
        path: `${path}.name`,
        message: `The Pod has no volume ${JSON.stringify(item.name)}.`,
        action: 'Add it to spec.volumes, or correct the name.',
      })),
  );
}

export function foreignResourceFields({ pod }: Subject): Finding[] {
  const spec = specOf(pod);
  const volumes = new Map(indexed(spec.volumes, 'spec.volumes').map(({ item, path }) => [item.name, { item, path }]));
  return allContainers(spec).flatMap(({ container, path }) => {
    const foreign = (path: string, other: string): Finding => ({
      path,
      message: `Container ${JSON.stringify(container.name)} reads the resources of container ${JSON.stringify(other)}, which is not in its piece.`,
      action: 'Write the value, or do not split this Pod.',
    });
    const isForeign = (other: string | undefined): other is string =>
      other !== undefined && other !== '' && other !== container.name;
    const variables = indexed(container.env, `${path}.env`).flatMap(({ item, path }) => {
      const other = item.valueFrom?.resourceFieldRef?.containerName;
      return isForeign(other) ? [foreign(`${path}.valueFrom.resourceFieldRef.containerName`, other)] : [];
    });
    const files = (container.volumeMounts ?? []).flatMap((mount) => {
      const volume = volumes.get(mount.name);
      if (volume === undefined) return [];
      return itemsOf(volume.item).flatMap((item) => {
        const other = item.resourceFieldRef?.containerName;
        return isForeign(other) ? [foreign(volume.path, other)] : [];
      });
    });
    return [...variables, ...files];
  });
}
