// Who takes part in the cluster, under which name, and the files in which each finds its key.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { network } from './names.ts';
import type { NodeNames } from './names.ts';
import { createAuthority, createSigningKey, issue } from './pki.ts';
import type { Authority, KeyPair } from './pki.ts';
import { embeddedPlace, serverUrl } from './place.ts';
import type { Place } from './place.ts';

/** Writes the control plane's keys and the administrator's kubeconfig; the authority signs for the nodes as well. */
export async function writeControlPlaneCredentials(place: Place): Promise<Authority> {
  const { pki } = place;
  await mkdir(pki, { recursive: true });
  const authority = await createAuthority('podsplit-cluster');
  // Whoever this second authority signs may act as anybody (the API server's aggregation proxy), so it is its own.
  const proxies = await createAuthority('podsplit-cluster-front-proxy');

  await writePair(pki, 'ca', authority.pem);
  await writePair(pki, 'front-proxy-ca', proxies.pem);
  const tokens = await createSigningKey();
  await writePrivate(join(pki, 'service-accounts.key'), tokens.key);
  await writePrivate(join(pki, 'service-accounts.pub'), tokens.publicKey);
  await writePair(pki, 'front-proxy', await issue(proxies, { commonName: 'front-proxy' }));
  await writePair(
    pki,
    'kubelet-client',
    await issue(authority, { commonName: 'kube-apiserver', organizations: ['system:masters'] }),
  );
  await writePair(
    pki,
    'apiserver',
    await issue(authority, {
      commonName: 'kube-apiserver',
      serves: {
        dns: ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
        ips: [place.address, network.host.v6, '10.96.0.1', 'fd00:96::1', '127.0.0.1'],
      },
    }),
  );
  const server = serverUrl(place);
  const write = async (path: string, commonName: string, organizations: readonly string[] = []): Promise<void> => {
    await writeKubeconfig(path, server, authority, await issue(authority, { commonName, organizations }));
  };
  await write(join(pki, 'controller-manager.kubeconfig'), 'system:kube-controller-manager');
  await write(join(pki, 'scheduler.kubeconfig'), 'system:kube-scheduler');
  await write(place.kubeconfig, 'admin', ['system:masters']);
  return authority;
}

/** Writes a node's keys into the folder that it will see as its configuration. */
export async function writeNodeCredentials(authority: Authority, node: NodeNames, folder: string): Promise<void> {
  const kubelet = await issue(authority, {
    commonName: `system:node:${node.name}`,
    organizations: ['system:nodes'],
    serves: { dns: [node.name], ips: [node.address.v4, node.address.v6] },
  });
  await writePrivate(join(folder, 'ca.crt'), authority.pem.certificate);
  await writePrivate(join(folder, 'kubelet.crt'), kubelet.certificate);
  await writePrivate(join(folder, 'kubelet.key'), kubelet.key);
  const server = serverUrl(embeddedPlace);
  const write = (name: string, pair: KeyPair): Promise<void> =>
    writeKubeconfig(join(folder, `${name}.kubeconfig`), server, authority, pair);
  await write('kubelet', kubelet);
  await write('kube-proxy', await issue(authority, { commonName: 'system:kube-proxy' }));
  // The rights of these two are in manifests/node-rbac.yaml.
  for (const name of ['kube-router', 'multus']) {
    await write(name, await issue(authority, { commonName: `podsplit:${name}` }));
  }
}

function writeKubeconfig(path: string, server: string, authority: Authority, pair: KeyPair): Promise<void> {
  return writePrivate(path, kubeconfigText(server, authority, pair));
}

function kubeconfigText(server: string, authority: Authority, pair: KeyPair): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'podsplit',
        cluster: { server, 'certificate-authority-data': base64(authority.pem.certificate) },
      },
    ],
    users: [
      {
        name: 'podsplit',
        user: { 'client-certificate-data': base64(pair.certificate), 'client-key-data': base64(pair.key) },
      },
    ],
    contexts: [{ name: 'podsplit', context: { cluster: 'podsplit', user: 'podsplit' } }],
    'current-context': 'podsplit',
  });
}

async function writePair(pki: string, name: string, pair: KeyPair): Promise<void> {
  await writePrivate(join(pki, `${name}.crt`), pair.certificate);
  await writePrivate(join(pki, `${name}.key`), pair.key);
}

function writePrivate(path: string, content: string): Promise<void> {
  return writeFile(path, content, { mode: 0o600 });
}
