// The Go modules under go/ and the commands that are built from each.
//
// One module per upstream project: each keeps the versions of its dependencies that its authors tested.

export interface GoModule {
  /** Folder under go/. */
  readonly name: string;
  /** Binary name to package. */
  readonly commands: Readonly<Record<string, string>>;
  readonly ldflags?: string;
  /** What to tell whoever waits for a first build. */
  readonly cold: string;
}

export const kubernetesVersion = { major: '1', minor: '35', patch: '4' } as const;

const { major, minor, patch } = kubernetesVersion;
const versionPackage = 'k8s.io/component-base/version';
// Without these a node calls itself v0.0.0-master and kubectl warns of skew.
const kubernetesFlags = [
  `-X ${versionPackage}.gitVersion=v${major}.${minor}.${patch}`,
  `-X ${versionPackage}.gitMajor=${major}`,
  `-X ${versionPackage}.gitMinor=${minor}`,
].join(' ');

const kubernetesCommands = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubectl',
  'kubelet',
] as const;

const cniPlugins = 'github.com/containernetworking/plugins/plugins';

export const goModules = {
  kubernetes: {
    name: 'kubernetes',
    commands: Object.fromEntries(kubernetesCommands.map((name) => [name, `k8s.io/kubernetes/cmd/${name}`])),
    ldflags: kubernetesFlags,
    cold: '6 minutes',
  },
  etcd: { name: 'etcd', commands: { etcd: 'go.etcd.io/etcd/server/v3' }, cold: 'half a minute' },
  'cni-plugins': {
    name: 'cni-plugins',
    commands: {
      bridge: `${cniPlugins}/main/bridge`,
      'host-local': `${cniPlugins}/ipam/host-local`,
      loopback: `${cniPlugins}/main/loopback`,
      portmap: `${cniPlugins}/meta/portmap`,
      ptp: `${cniPlugins}/main/ptp`,
      static: `${cniPlugins}/ipam/static`,
      tuning: `${cniPlugins}/meta/tuning`,
    },
    cold: '10 seconds',
  },
  multus: {
    name: 'multus',
    commands: { multus: 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus' },
    cold: 'a minute',
  },
  coredns: { name: 'coredns', commands: { coredns: '.' }, cold: 'a minute' },
  probe: { name: 'probe', commands: { probe: '.' }, cold: 'a few seconds' },
  'kube-router': { name: 'kube-router', commands: { 'kube-router': '.' }, cold: 'a minute' },
} as const satisfies Record<string, GoModule>;

export type ModuleName = keyof typeof goModules;

/** Renders the chart in a test, as users' Helm does. */
export const helm: GoModule = {
  name: 'helm',
  commands: { helm: 'helm.sh/helm/v4/cmd/helm' },
  cold: '3 minutes',
};

/** Installs the CLI in a test, as users' krew does. */
export const krew: GoModule = { name: 'krew', commands: { krew: 'sigs.k8s.io/krew/cmd/krew' }, cold: 'a minute' };

/** Another allocator of Pods' addresses, to hold podsplit's against (hack/bench/claims.ts); no cluster builds it. */
export const whereabouts: GoModule = {
  name: 'whereabouts',
  commands: { whereabouts: 'github.com/k8snetworkplumbingwg/whereabouts/cmd' },
  cold: '2 minutes',
};

/** Simulates nodes for fault-injection tests and benchmarks; the embedded cluster has real ones, and never builds it. */
export const simulator: GoModule = {
  name: 'kwok',
  commands: { kwok: 'sigs.k8s.io/kwok/cmd/kwok' },
  cold: 'a minute',
};
