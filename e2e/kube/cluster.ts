import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { KubeClient } from '../../controller/kube/client.ts';
import { connect } from '../../controller/kube/connect.ts';
import type { ConfigMap } from '../../controller/kube/resources.ts';
import { resources } from '../../controller/kube/resources.ts';

/** The cluster under test: KUBECONFIG, else the embedded one. */
export const kubeconfig = process.env['KUBECONFIG'] ?? new URL('../../.cluster/kubeconfig', import.meta.url).pathname;

export interface TestNamespace {
  readonly client: KubeClient;
  readonly namespace: string;
  close(): Promise<void>;
}

/** A namespace of the test's own: a name that was just deleted stays taken for a while. */
export async function testNamespace(): Promise<TestNamespace> {
  if (!existsSync(kubeconfig)) throw new Error(`There is no ${kubeconfig}: "make cluster" boots a cluster.`);
  const client = connect({ kubeconfig });
  const name = `kube-layer-test-${randomBytes(3).toString('hex')}`;
  await client.create(resources.namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return {
    client,
    namespace: name,
    async close() {
      await client.delete(resources.namespaces, { name });
      client.close();
    },
  };
}

export function configMap(namespace: string, name: string, more: Partial<ConfigMap> = {}): ConfigMap {
  const { metadata, ...fields } = more;
  return { apiVersion: 'v1', kind: 'ConfigMap', ...fields, metadata: { ...metadata, namespace, name } };
}

/** Until it holds: other programs have to do something first. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
