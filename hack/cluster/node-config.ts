// The files that a node's daemons read. They see them under /run/node; everything else is at the standard paths.

import { stringify } from 'yaml';
import { pauseImage } from './build.ts';
import { cgroup, network } from './names.ts';
import type { NodeNames } from './names.ts';

export const conf = '/run/node/conf';

export function kubeletConfig(node: NodeNames): string {
  return stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${conf}/ca.crt` },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: `${conf}/kubelet.crt`,
    tlsPrivateKeyFile: `${conf}/kubelet.key`,
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    clusterDNS: [network.dns.v4],
    clusterDomain: 'cluster.local',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    // Without QOS cgroups an in-place resize panics the kubelet (1.35).
    cgroupsPerQOS: true,
    cgroupRoot: `/${cgroup}/${node.name}`,
    enforceNodeAllocatable: [],
    // Lowering it below its parent's needs CAP_SYS_RESOURCE, which root in a container often lacks.
    oomScoreAdj: 0,
    failSwapOn: false,
    maxPods: 250,
    serializeImagePulls: false,
    // Images come as files and no registry has them: never evict a Pod or collect an image for the disk's sake.
    evictionHard: {
      'memory.available': '1Mi',
      'nodefs.available': '1%',
      'nodefs.inodesFree': '1%',
      'imagefs.available': '1%',
    },
    imageGCHighThresholdPercent: 100,
  });
}

export function containerdConfig(): string {
  return `version = 2
# With the default, a sandbox without CAP_SYS_RESOURCE dies of "can't get final child's PID from pipe: EOF".
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "${pauseImage}"
  # The default since containerd 2: a container may listen on port 80 without being root.
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`;
}

/**
 * Multus calls the cluster's default network, then the networks that a Pod names. Routed (`ptp`), not bridged: so the
 * traffic of two Pods of one node passes FORWARD, where the policy engine looks.
 */
export function multusConfig(node: NodeNames): string {
  const ptp = {
    type: 'ptp',
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: node.pods.v4 }], [{ subnet: node.pods.v6 }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
  };
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'multus-cni-network',
    type: 'multus',
    // What the runtime shall hand to Multus, for it to hand on: without it no hostPort opens.
    capabilities: { portMappings: true },
    kubeconfig: '/etc/cni/net.d/multus.d/multus.kubeconfig',
    // A Pod joins networks of its own namespace only.
    namespaceIsolation: true,
    logLevel: 'error',
    logFile: '/var/log/multus.log',
    delegates: [
      {
        cniVersion: '1.0.0',
        name: 'podsplit-cluster',
        plugins: [{ type: 'no-dad' }, ptp, { type: 'portmap', capabilities: { portMappings: true } }],
      },
    ],
  });
}

export interface Daemon {
  readonly name: string;
  readonly argv: readonly string[];
}

/** What runs on a healthy node, by the names of its processes. */
export const nodeDaemonNames = ['containerd', 'kubelet', 'kube-proxy', 'kube-router'] as const;

/** The daemons that want an API server, in the order of starting. */
export function nodeDaemons(node: NodeNames): Daemon[] {
  return [
    {
      name: 'kubelet',
      argv: [
        '/run/node/kubernetes/kubelet',
        `--config=${conf}/kubelet.yaml`,
        `--kubeconfig=${conf}/kubelet.kubeconfig`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.address.v4},${node.address.v6}`,
        '--v=1',
      ],
    },
    {
      name: 'kube-proxy',
      argv: [
        '/run/node/kubernetes/kube-proxy',
        `--kubeconfig=${conf}/kube-proxy.kubeconfig`,
        `--hostname-override=${node.name}`,
        '--proxy-mode=nftables',
        `--cluster-cidr=${network.pods.v4},${network.pods.v6}`,
        '--oom-score-adj=0',
        // These would be the machine's own settings, which are not ours to change; 0 leaves them.
        '--conntrack-max-per-core=0',
        '--conntrack-tcp-timeout-established=0',
        '--conntrack-tcp-timeout-close-wait=0',
        '--v=1',
      ],
    },
    {
      name: 'kube-router',
      argv: [
        '/run/node/kube-router/kube-router',
        `--kubeconfig=${conf}/kube-router.kubeconfig`,
        `--hostname-override=${node.name}`,
        '--enable-ipv4=true',
        '--enable-ipv6=true',
        `--service-cluster-ip-range=${network.services.v4}`,
        `--service-cluster-ip-range=${network.services.v6}`,
      ],
    },
  ];
}
