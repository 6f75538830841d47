import fc from 'fast-check';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { withoutNulls } from '../../api/json.ts';
import type { IVolume } from 'kubernetes-models/v1/Volume';

/** Pods of two to six containers, and of native sidecars, that can be split, with fields that podsplit does not know, for properties of all of them. */
export const splittablePod = pods((_, owns) => owns);

/** Those too whose containers share emptyDirs: install mode `node` splits them. */
export const splittableByNode = pods((chance) => chance);

/** @param mountsEmptyDir by chance, and whether the container is the one that alone may have it */
function pods(mountsEmptyDir: (chance: boolean, owns: boolean) => boolean): fc.Arbitrary<IPod> {
  return fc
    .record({
      names: fc.uniqueArray(label(), { minLength: 2, maxLength: 6 }),
      initNames: fc.uniqueArray(label(), { maxLength: 3 }),
      volumeNames: fc.uniqueArray(label(), { maxLength: 5 }),
      seed: fc.infiniteStream(fc.nat()),
      annotations: fc.dictionary(label(), fc.string(), { maxKeys: 3, noNullPrototype: true }),
      labels: fc.dictionary(label(), label(), { maxKeys: 3, noNullPrototype: true }),
      extra: fc.dictionary(
        fc.constantFrom('tolerations', 'tomorrow', 'dnsPolicy'),
        fc
          .jsonValue({ maxDepth: 2 })
          .map(withoutNulls)
          .filter((value) => value !== null),
        {
          maxKeys: 3,
          noNullPrototype: true,
        },
      ),
      primary: fc.option(fc.nat()),
    })
    .map(({ names, initNames, volumeNames, seed, annotations, labels, extra, primary }) => {
      const pick = (n: number): number => (n === 0 ? 0 : seed.next().value % n);
      const volumes = volumeNames.map((name) => volume(name, pick(4)));
      const own = new Map(volumeNames.map((name) => [name, pick(names.length)]));
      const containers = names.map((name, index): IContainer => {
        const mounts = volumes.filter((v) => {
          const chance = pick(2) === 0;
          return 'emptyDir' in v ? mountsEmptyDir(chance, own.get(v.name) === index) : chance;
        });
        return {
          name,
          image: `image-${pick(100)}`,
          ...(pick(2) === 0 ? { ports: ports(index, 1 + pick(3)) } : {}),
          ...(mounts.length === 0
            ? {}
            : { volumeMounts: mounts.map((v) => ({ name: v.name, mountPath: `/${v.name}` })) }),
          ...(pick(3) === 0 ? { tomorrow: { number: pick(10) } } : {}),
          ...(pick(3) === 0 ? { env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] } : {}),
        };
      });
      const initContainers = initNames
        .filter((name) => !names.includes(name))
        .map((name, index): IContainer => {
          const init: IContainer = { name, image: 'init' };
          if (pick(2) === 0) return init;
          const mounts = volumes.filter((v) => !('emptyDir' in v) && pick(2) === 0);
          return {
            ...init,
            restartPolicy: 'Always',
            ...(pick(2) === 0 ? { ports: ports(names.length + index, 1 + pick(3)) } : {}),
            ...(mounts.length === 0
              ? {}
              : { volumeMounts: mounts.map((v) => ({ name: v.name, mountPath: `/${v.name}` })) }),
          };
        });
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: 'pod',
          namespace: 'shop',
          labels,
          annotations: {
            ...annotations,
            'podsplit.io/mode': 'split',
            ...(primary === null ? {} : { 'podsplit.io/primary': names[primary % names.length] ?? '' }),
          },
        },
        spec: {
          ...extra,
          containers,
          ...(initContainers.length === 0 ? {} : { initContainers }),
          ...(volumes.length === 0 ? {} : { volumes }),
        },
      };
    });
}

function label(): fc.Arbitrary<string> {
  return fc.stringMatching(/^[a-z][a-z0-9]{0,3}(-[a-z0-9]{1,3})?$/).filter((name) => !name.startsWith('podsplit'));
}

function volume(name: string, kind: number): IVolume {
  switch (kind) {
    case 0:
      return { name, emptyDir: {} };
    case 1:
      return { name, configMap: { name } };
    case 2:
      return { name, downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] } };
    default:
      return { name, persistentVolumeClaim: { claimName: name } };
  }
}

function ports(container: number, count: number): NonNullable<IContainer['ports']> {
  return Array.from({ length: count }, (_, index) => ({
    name: `p${container}-${index}`,
    containerPort: 1000 + container * 10 + index,
    protocol: index % 2 === 0 ? 'TCP' : 'UDP',
  }));
}
