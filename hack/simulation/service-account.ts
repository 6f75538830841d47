import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import type { SimulatedCluster } from './cluster.ts';

export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

/** Where an API server is reached, and who signed for it. */
export interface Endpoint {
  readonly server: string;
  readonly ca: string;
}

export function userName({ namespace, name }: ServiceAccount): string {
  return `system:serviceaccount:${namespace}:${name}`;
}

/**
 * Writes a kubeconfig that has the rights of a ServiceAccount and no others.
 *
 * @param via in the place of the API server
 */
export async function writeKubeconfig(
  file: string,
  { namespace, name }: ServiceAccount,
  cluster: SimulatedCluster,
  via: Endpoint = cluster,
): Promise<void> {
  const token = await cluster.kubectl(['create', 'token', name, '-n', namespace, '--duration=3h']);
  const certificate = Buffer.from(via.ca).toString('base64');
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'simulated', cluster: { server: via.server, 'certificate-authority-data': certificate } }],
    users: [{ name, user: { token: token.trim() } }],
    contexts: [{ name, context: { cluster: 'simulated', user: name, namespace } }],
    'current-context': name,
  });
  await writeFile(file, text, { mode: 0o600 });
}
