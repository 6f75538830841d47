// The command lines of etcd and of the three servers of a control plane.

import { join } from 'node:path';
import { network } from './names.ts';
import type { Place } from './place.ts';

function etcdUrl({ ports }: Place): string {
  return `http://127.0.0.1:${ports.etcd}`;
}

export function etcd(place: Place): string[] {
  const url = etcdUrl(place);
  const peerUrl = `http://127.0.0.1:${place.ports.etcdPeer}`;
  return [
    `--data-dir=${join(place.state, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    // A lost cluster is booted anew, never recovered: so no waiting for the disk.
    '--unsafe-no-fsync',
    '--quota-backend-bytes=4294967296',
    '--log-level=warn',
  ];
}

export function apiserver(place: Place): string[] {
  const { pki, address, ports } = place;
  return [
    `--etcd-servers=${etcdUrl(place)}`,
    `--bind-address=${address}`,
    `--advertise-address=${address}`,
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

export function controllerManager({ pki }: Place): string[] {
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

export function scheduler({ pki }: Place): string[] {
  return [`--kubeconfig=${join(pki, 'scheduler.kubeconfig')}`, ...alone, ...unhurried];
}
