import { networkStatusAnnotation } from '../api/names.ts';
import { at, parseJson } from '../api/json.ts';
import type { DaemonSet } from '../kube/resources.ts';
import { hidden, ok, type Outcome, problem, seenOr, unknown, warning, whereSeen } from './check-outcome.ts';
import { versionOf } from './check-images.ts';
import type { Snapshot } from './check-snapshot.ts';
import { counted } from './table.ts';

const manifests = 'https://github.com/k8snetworkplumbingwg/multus-cni/tree/master/deployments';

export function checkNetworkKind({ networkKinds }: Snapshot): readonly Outcome[] {
  return whereSeen(networkKinds, (kinds) =>
    kinds.includes('network-attachment-definitions')
      ? [ok('The API server serves NetworkAttachmentDefinitions.')]
      : [
          problem(
            'The API server serves no NetworkAttachmentDefinitions (k8s.cni.cncf.io/v1).',
            `Install Multus with its CRD: ${manifests}. Gated Pods go on then.`,
          ),
        ],
  );
}

/** Programs beside Multus that have its name in theirs. */
const beside = /additional|admission|dynamic|networkpolicy|metrics|webhook/;

function multusIn(daemonSets: readonly DaemonSet[]): readonly DaemonSet[] {
  return daemonSets.filter(({ metadata, spec }) => {
    if (beside.test(metadata.name)) return false;
    const containers = spec?.template.spec?.containers ?? [];
    return containers.some(({ name, image = '' }) => name.includes('multus') || /multus[^/]*$/.test(image));
  });
}

export function checkMultus({ daemonSets, splitPods }: Snapshot): readonly Outcome[] {
  const attached = seenOr(splitPods, []).filter(
    ({ metadata }) => metadata.annotations?.[networkStatusAnnotation] !== undefined,
  );
  const works = `it has attached ${counted(attached.length, 'piece')}`;
  const found = daemonSets.kind === 'seen' ? multusIn(daemonSets.value) : [];
  if (found.length > 0) return found.flatMap(daemonSetOutcomes);
  if (attached.length > 0) return [ok(`No DaemonSet of Multus is seen, but ${works}.`)];
  if (daemonSets.kind === 'hidden') return [hidden(daemonSets.right)];
  return [
    unknown(
      'No DaemonSet runs Multus. Whether the nodes have it by other means cannot be seen from the API.',
      `If they have not: ${manifests}. If they have, the first split Pod shows it.`,
    ),
  ];
}

function daemonSetOutcomes({ metadata, spec, status }: DaemonSet): readonly Outcome[] {
  const name = `${metadata.namespace ?? ''}/${metadata.name}`;
  const image = spec?.template.spec?.containers.find((each) =>
    /multus/.test(`${each.name} ${each.image ?? ''}`),
  )?.image;
  const version = versionOf(image ?? '');
  const { desiredNumberScheduled: wanted = 0, numberReady: ready = 0 } = status ?? {};
  const which = `Multus${version === undefined ? '' : ` ${version}`} (DaemonSet ${name})`;
  return [
    ready < wanted
      ? problem(
          `${which} is ready on ${ready} of ${counted(wanted, 'node')}.`,
          `kubectl get pods -n ${metadata.namespace ?? ''} -o wide; kubectl describe daemonset ${metadata.name} -n ${metadata.namespace ?? ''}`,
        )
      : ok(`${which} is ready on ${counted(wanted, 'node')}.`),
    ...(version !== undefined && Number.parseInt(version.replace(/^v/, ''), 10) < 4
      ? [warning(`${which} is older than any that podsplit was tried with (4.3).`, 'Upgrade Multus to 4.')]
      : []),
  ];
}

/** Thin Multus is told by arguments, thick by a ConfigMap. */
export function checkIsolation({ daemonSets, configMaps }: Snapshot): readonly Outcome[] {
  const found = seenOr(daemonSets, []).filter((each) => multusIn([each]).length > 0);
  const where = 'Set namespaceIsolation: true in its configuration (thin: --namespace-isolation=true).';
  if (found.length === 0) {
    return daemonSets.kind === 'hidden'
      ? [hidden(daemonSets.right)]
      : [unknown("Multus' configuration is on the nodes, where it cannot be seen from the API.", where)];
  }
  const told = found.some(({ spec }) =>
    [...(spec?.template.spec?.containers ?? []), ...(spec?.template.spec?.initContainers ?? [])].some(
      ({ args = [], command = [] }) =>
        [...args, ...command].some((word) => /^--?namespace-isolation(=true)?$/.test(word)),
    ),
  );
  if (told) return [ok('Multus is told to keep Pods from networks of other namespaces.')];
  return whereSeen(configMaps, (maps) => {
    const settings = maps.flatMap(({ data = {} }) =>
      Object.values(data).map((text) => at(parseJson(text), ['namespaceIsolation'])),
    );
    return settings.includes(true)
      ? [ok('Multus is told to keep Pods from networks of other namespaces.')]
      : [warning('Multus is not told to keep Pods from networks of other namespaces.', where)];
  });
}

/** Cilium takes the configurations of other CNIs out of their folder, Multus' among them, unless it is told not to. */
export function checkExclusive({ daemonSets, configMaps }: Snapshot): readonly Outcome[] {
  if (!seenOr(daemonSets, []).some(({ metadata }) => metadata.name === 'cilium')) return [];
  return whereSeen(configMaps, (maps) => {
    const config = maps.find(({ metadata }) => metadata.name === 'cilium-config');
    if (config === undefined) return [];
    return config.data?.['cni-exclusive'] === 'false'
      ? [ok('Cilium leaves other CNI configurations alone (cni-exclusive=false).')]
      : [
          problem(
            'Cilium takes the CNI configurations of others away, and Multus with them.',
            'Install Cilium with cni.exclusive=false.',
          ),
        ];
  });
}
