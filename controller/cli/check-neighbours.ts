import { ownLabels } from '../api/names.ts';
import type { DaemonSet } from '../kube/resources.ts';
import { few, hidden, ok, type Outcome, seenOr, warning, whereSeen } from './check-outcome.ts';
import { distinct } from './check-nodes.ts';
import type { Snapshot } from './check-snapshot.ts';
import { counted } from './table.ts';

interface Known {
  readonly name: string;
  readonly is: (daemonSet: DaemonSet) => boolean;
}

function named(name: string, pattern: RegExp): Known {
  return { name, is: ({ metadata }) => pattern.test(metadata.name) };
}

/** Which enforce NetworkPolicies, by the DaemonSets of their manifests and charts. */
const engines: readonly Known[] = [
  named('Calico', /^(calico-node|canal|rke2-canal)$/),
  named('Cilium', /^(cilium|anetd)$/),
  {
    name: 'kube-router',
    is: ({ metadata, ...rest }) => /kube-router/.test(metadata.name) && !says(rest, /^--run-firewall=false$/),
  },
  named('Antrea', /^antrea-agent$/),
  named('OVN-Kubernetes', /^ovnkube-node/),
  named('Kube-OVN', /^kube-ovn-cni$/),
  named('Weave Net', /^weave-net$/),
  named('kube-network-policies', /^kube-network-policies/),
  named('Azure NPM', /^azure-npm/),
  {
    name: 'AWS VPC CNI',
    is: ({ metadata, ...rest }) => metadata.name === 'aws-node' && says(rest, /^--enable-network-policy=true$/),
  },
];

function says({ spec }: Pick<DaemonSet, 'spec'>, word: RegExp): boolean {
  const containers = spec?.template.spec?.containers ?? [];
  return containers.some(({ args = [], command = [] }) => [...command, ...args].some((each) => word.test(each)));
}

export function checkPolicyEngine({ daemonSets }: Snapshot): readonly Outcome[] {
  return whereSeen(daemonSets, (all) => {
    const found = engines.flatMap(({ name, is }) =>
      all.filter(is).map(({ metadata }) => `${name} (DaemonSet ${metadata.namespace ?? ''}/${metadata.name})`),
    );
    return [
      found.length > 0
        ? ok(`NetworkPolicies are enforced by ${few(found)}.`)
        : warning(
            'No DaemonSet of a NetworkPolicy engine that is known here.',
            'If the network plugin enforces NetworkPolicies by other means, all is well. Flows, egress-via and ContainerNetworkPolicies hold without one.',
          ),
    ];
  });
}

/** What else lives of Multus. */
const dependents: readonly Known[] = [
  named('Whereabouts', /whereabouts/),
  named('SR-IOV', /sriov/),
  named('MultiNetworkPolicy', /multi-networkpolicy/),
  named('KubeVirt', /^virt-handler$/),
  named('OVS CNI', /^ovs-cni/),
  named('bridge-marker', /^bridge-marker$/),
  named('NMState', /nmstate-handler/),
  named('Kube-OVN', /^kube-ovn-cni$/),
];

export function checkDependents({ daemonSets, networks, multiPolicyKinds }: Snapshot): readonly Outcome[] {
  const rights = [daemonSets, networks].flatMap((seen) => (seen.kind === 'hidden' ? [hidden(seen.right)] : []));
  const programs = distinct(dependents.flatMap(({ name, is }) => (seenOr(daemonSets, []).some(is) ? [name] : [])));
  const foreign = seenOr(networks, []).filter(({ metadata }) => metadata.labels?.[ownLabels.managedBy] !== 'podsplit');
  const mirrors = seenOr(multiPolicyKinds, []).includes('multi-networkpolicies');
  const said = [
    ...(programs.length > 0 ? [few(programs)] : []),
    ...(foreign.length > 0 ? [`${counted(foreign.length, 'network')} of others, which podsplit leaves alone`] : []),
    ...(mirrors ? ['MultiNetworkPolicies, of which podsplit makes its own for net1'] : []),
  ];
  if (said.length > 0) return [ok(`Beside podsplit: ${said.join('; ')}.`), ...rights];
  return rights.length > 0 ? rights : [ok('Nothing else that is known here uses Multus.')];
}
