// etcd and the three servers of the control plane, in the machine's own network namespace.

import { readFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import type { Builds } from './build.ts';
import { server } from './credentials.ts';
import { network, ports } from './names.ts';
import { kubeconfig, kubectlPath, logs, pki, state } from './paths.ts';
import { isAlive, startDaemon } from './processes.ts';
import type { ProcessRecord } from './processes.ts';
import { until } from './run.ts';

const etcdUrl = `http://127.0.0.1:${ports.etcd}`;
const etcdPeerUrl = `http://127.0.0.1:${ports.etcdPeer}`;

function etcd(): string[] {
  return [
    `--data-dir=${join(state, 'etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${etcdPeerUrl}`,
    `--initial-advertise-peer-urls=${etcdPeerUrl}`,
    `--initial-cluster=default=${etcdPeerUrl}`,
    // A lost cluster is booted anew, never recovered: so no waiting for the disk.
    '--unsafe-no-fsync',
    '--quota-backend-bytes=4294967296',
    '--log-level=warn',
  ];
}

function apiserver(): string[] {
  return [
    `--etcd-servers=${etcdUrl}`,
    `--bind-address=${network.host.v4}`,
    `--advertise-address=${network.host.v4}`,
    `--secure-port=${ports.apiserver}`,
    `--tls-cert-file=${join(pki, 'apiserver.crt')}`,
    `--tls-private-key-file=${join(pki, 'apiserver.key')}`,
    `--client-ca-file=${join(pki, 'ca.crt')}`,
    `--kubelet-certificate-authority=${join(pki, 'ca.crt')}`,
    `--kubelet-client-certificate=${join(pki, 'kubelet-client.crt')}`,
    `--kubelet-client-key=${join(pki, 'kubelet-client.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${join(pki, 'service-accounts.pub')}`,
    `--service-account-signing-key-file=${join(pki, 'service-accounts.key')}`,
    `--service-cluster-ip-range=${network.services.v4},${network.services.v6}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    // Webhooks and aggregated API servers are called at their Pods' addresses: no kube-proxy runs beside us.
    '--enable-aggregator-routing=true',
    `--requestheader-client-ca-file=${join(pki, 'front-proxy-ca.crt')}`,
    '--requestheader-allowed-names=front-proxy',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${join(pki, 'front-proxy.crt')}`,
    `--proxy-client-key-file=${join(pki, 'front-proxy.key')}`,
    '--profiling=false',
    '-v=1',
  ];
}

/** One of each runs, so there is nobody to elect; nobody asks for their metrics, so they open no port. */
const alone = ['--leader-elect=false', '--secure-port=0', '--profiling=false'];

/** The default of 20 requests a second would make a benchmark one of this limit. */
const unhurried = ['--kube-api-qps=200', '--kube-api-burst=400'];

function controllerManager(): string[] {
  return [
    `--kubeconfig=${join(pki, 'controller-manager.kubeconfig')}`,
    `--service-account-private-key-file=${join(pki, 'service-accounts.key')}`,
    `--root-ca-file=${join(pki, 'ca.crt')}`,
    `--cluster-signing-cert-file=${join(pki, 'ca.crt')}`,
    `--cluster-signing-key-file=${join(pki, 'ca.key')}`,
    '--use-service-account-credentials=true',
    // The nodes come with their Pod ranges (nodes.ts).
    '--allocate-node-cidrs=false',
    ...alone,
    ...unhurried,
  ];
}

function scheduler(): string[] {
  return [`--kubeconfig=${join(pki, 'scheduler.kubeconfig')}`, ...alone, ...unhurried];
}

/** Starts the control plane and returns once the API server is ready. */
export async function startControlPlane(builds: Builds): Promise<Record<string, ProcessRecord>> {
  const kubernetes = builds.bin.kubernetes;
  const started = {
    etcd: await startDaemon([join(builds.bin.etcd, 'etcd'), ...etcd()], join(logs, 'etcd.log')),
    'kube-apiserver': await startDaemon(
      [join(kubernetes, 'kube-apiserver'), ...apiserver()],
      join(logs, 'kube-apiserver.log'),
    ),
  };
  await until('the API server', 60, async () => {
    for (const [name, process] of Object.entries(started)) {
      if (!(await isAlive(process))) throw new Error(`${name} ended; see ${join(logs, `${name}.log`)}`);
    }
    return isReady();
  });
  return {
    ...started,
    'kube-controller-manager': await startDaemon(
      [join(kubernetes, 'kube-controller-manager'), ...controllerManager()],
      join(logs, 'kube-controller-manager.log'),
    ),
    'kube-scheduler': await startDaemon(
      [join(kubernetes, 'kube-scheduler'), ...scheduler()],
      join(logs, 'kube-scheduler.log'),
    ),
  };
}

/** Whether the API server says that it is ready; anybody may ask. */
async function isReady(): Promise<boolean> {
  const ca = await readFile(join(pki, 'ca.crt'));
  return new Promise((resolve) => {
    const request = get(`${server}/readyz`, { ca, timeout: 5000, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => {
      resolve(false);
    });
  });
}

/** A command line that runs kubectl as the administrator. */
export function kubectl(...args: readonly string[]): string[] {
  return [kubectlPath, `--kubeconfig=${kubeconfig}`, ...args];
}
