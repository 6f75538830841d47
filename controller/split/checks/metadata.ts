import { isReservedKey } from '../../api/keys.ts';
import {
  group,
  initContainerName,
  networksAnnotation,
  startedVolumeName,
  tokenVolumeName,
  volumeDriver,
  waitNamePrefix,
  wiringVolumeName,
} from '../../api/names.ts';
import { annotationsOf, labelsOf, specOf } from '../pod.ts';
import { isOfDriver } from '../shared-volumes.ts';
import { type Finding, type Subject, allContainers, indexed } from './subject.ts';

export function reservedLabels({ pod }: Subject): Finding[] {
  return Object.keys(labelsOf(pod))
    .filter(isReservedKey)
    .map((key) => ({
      path: `metadata.labels[${key}]`,
      message: `Labels under ${group}/ say which Pod a piece belongs to.`,
      action: 'Remove the label.',
    }));
}

const multusAnnotations = [networksAnnotation, 'v1.multus-cni.io/default-network'];

export function ownNetworks({ pod }: Subject): Finding[] {
  return multusAnnotations
    .filter((key) => Object.hasOwn(annotationsOf(pod), key))
    .map((key) => ({
      path: `metadata.annotations[${key}]`,
      message: 'The Pod joins networks of its own, around which the rules of its pieces do not reach.',
      action: 'Remove the annotation, or do not split this Pod.',
    }));
}

const ownVolumes: readonly string[] = [wiringVolumeName, startedVolumeName, tokenVolumeName];

export function reservedNames({ pod }: Subject): Finding[] {
  const spec = specOf(pod);
  const taken = (path: string, name: string): Finding => ({
    path,
    message: `${JSON.stringify(name)} is a name that podsplit uses.`,
    action: 'Choose another name.',
  });
  return [
    ...allContainers(spec)
      .filter(({ container: { name } }) => name === initContainerName || name.startsWith(waitNamePrefix))
      .map(({ container, path }) => taken(`${path}.name`, container.name)),
    ...indexed(spec.volumes, 'spec.volumes')
      .filter(({ item }) => ownVolumes.includes(item.name))
      .map(({ item, path }) => taken(`${path}.name`, item.name)),
    ...indexed(spec.volumes, 'spec.volumes')
      .filter(({ item }) => isOfDriver(item))
      .map(({ path }) => taken(`${path}.csi.driver`, volumeDriver)),
    ...indexed(spec.schedulingGates, 'spec.schedulingGates')
      .filter(({ item }) => isReservedKey(item.name))
      .map(({ item, path }) => taken(`${path}.name`, item.name)),
    ...indexed(spec.readinessGates, 'spec.readinessGates')
      .filter(({ item }) => isReservedKey(item.conditionType))
      .map(({ item, path }) => taken(`${path}.conditionType`, item.conditionType)),
  ];
}
