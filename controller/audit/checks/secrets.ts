import type { IVolume } from 'kubernetes-models/v1/Volume';
import { indexed } from '../../split/checks/subject.ts';
import { type Atom, stays } from '../finding.ts';
import type { Member, Subject } from '../subject.ts';

/** A key of a Secret that a container is given. */
interface Given {
  /** As people name it: `Secret web-database`. */
  readonly secret: string;
  /** Undefined: all of it. */
  readonly key: string | undefined;
  readonly path: string;
}

export function sharedSecrets({ running, spec }: Subject): readonly Atom[] {
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  const given = new Map(running.map((member) => [member, givenTo(member, volumes)]));
  return [...given].flatMap(([actor, own]) =>
    [...given].flatMap(([victim, others]): Atom[] => {
      const common = victim === actor ? [] : own.filter((one) => others.some((other) => isSame(one, other)));
      if (common.length === 0) return [];
      return [
        {
          severity: 'medium',
          actor: actor.name,
          victim: {
            kind: 'container',
            name: victim.name,
            detail: [...new Set(common.map(({ secret }) => secret))].join(', '),
          },
          evidence: common.map(({ path, secret }) => ({ path, says: secret })),
          isolate: stays('Each is given the Secret itself.'),
          split: stays('Each piece is given the Secret itself: give it to the one that needs it.'),
        },
      ];
    }),
  );
}

function isSame(one: Given, other: Given): boolean {
  if (one.secret !== other.secret) return false;
  return one.key === undefined || other.key === undefined || one.key === other.key;
}

function givenTo({ container, path }: Member, volumes: ReadonlyMap<string, IVolume>): readonly Given[] {
  return [
    ...indexed(container.volumeMounts, `${path}.volumeMounts`).flatMap(({ item, path: at }): Given[] => {
      const volume = volumes.get(item.name);
      // One file of the volume: its first segment is the key, where the volume does not name files itself.
      const file = item.subPath === undefined || item.subPath === '' ? undefined : item.subPath.split('/')[0];
      return volume === undefined ? [] : secretsIn(volume, file).map((found) => ({ ...found, path: at }));
    }),
    ...indexed(container.envFrom, `${path}.envFrom`).flatMap(({ item, path: at }): Given[] => {
      const name = item.secretRef?.name ?? '';
      return name === '' ? [] : [{ secret: `Secret ${name}`, key: undefined, path: `${at}.secretRef` }];
    }),
    ...indexed(container.env, `${path}.env`).flatMap(({ item, path: at }): Given[] => {
      const reference = item.valueFrom?.secretKeyRef;
      if (reference?.name === undefined || reference.name === '') return [];
      return [{ secret: `Secret ${reference.name}`, key: reference.key, path: `${at}.valueFrom.secretKeyRef` }];
    }),
  ];
}

function secretsIn(volume: IVolume, file: string | undefined): readonly Omit<Given, 'path'>[] {
  const { secret, projected, csi } = volume;
  const provider =
    csi?.driver === 'secrets-store.csi.k8s.io' ? csi.volumeAttributes?.['secretProviderClass'] : undefined;
  return [
    ...keysOf(secret?.secretName, secret?.items, file),
    ...(projected?.sources ?? []).flatMap((source) => keysOf(source.secret?.name, source.secret?.items, file)),
    ...(provider === undefined ? [] : [{ secret: `SecretProviderClass ${provider}`, key: file }]),
  ];
}

function keysOf(
  name: string | undefined,
  items: readonly { readonly key: string; readonly path: string }[] | undefined,
  file: string | undefined,
): readonly Omit<Given, 'path'>[] {
  if (name === undefined) return [];
  const secret = `Secret ${name}`;
  if (items === undefined) return [{ secret, key: file }];
  return items
    .filter(({ path }) => file === undefined || path.split('/')[0] === file)
    .map(({ key }) => ({ secret, key }));
}
