import { get, listAll } from './api.ts';
import { eventually, patience } from './eventually.ts';
import { kubectl } from './namespace.ts';
import type { Pod } from './objects.ts';

const systemNamespace = 'podsplit-system';
const here = ['-n', systemNamespace];

export function controllerPods(): Promise<readonly Pod[]> {
  return listAll<Pod>('pods', {
    namespace: systemNamespace,
    labelSelector: 'app.kubernetes.io/component=controller',
  });
}

/** Waits until none is left: a controller that still runs would answer what nobody shall answer. */
export async function stopController(): Promise<void> {
  await kubectl([...here, 'scale', 'deployment/podsplit', '--replicas=0']);
  await eventually('the controller is gone', async () => {
    const left = await controllerPods();
    if (left.length > 0) throw new Error(left.map((pod) => pod.metadata.name).join(', '));
  });
}

export async function startController(): Promise<void> {
  await kubectl([...here, 'scale', 'deployment/podsplit', '--replicas=2']);
  await controllerIsUp();
}

export async function controllerIsUp(): Promise<void> {
  await kubectl([...here, 'rollout', 'status', 'deployment/podsplit', patience]);
}

interface Lease {
  readonly spec: { readonly holderIdentity?: string };
}

export async function leader(): Promise<string> {
  const lease = await get<Lease>('leases', 'podsplit', systemNamespace);
  return lease.spec.holderIdentity ?? '';
}

interface WebhookConfiguration {
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

/** For the whole cluster. Returns what puts it back as the install makes it: the CA is the controller's to write. */
export async function takeWebhookAway(): Promise<() => Promise<void>> {
  const what = 'mutatingwebhookconfiguration/podsplit';
  const read = JSON.parse(await kubectl(['get', what, '-o', 'json'])) as WebhookConfiguration;
  const { name, labels } = read.metadata;
  const webhooks = read.webhooks.map(({ clientConfig: { caBundle: _ca, ...clientConfig }, ...webhook }) => ({
    ...webhook,
    clientConfig,
  }));
  const manifest = JSON.stringify({ ...read, metadata: { name, labels }, webhooks });
  await kubectl(['delete', what]);
  return async () => {
    await kubectl(
      ['apply', '--server-side', '--force-conflicts', '--field-manager=podsplit-install', '-f', '-'],
      manifest,
    );
  };
}
