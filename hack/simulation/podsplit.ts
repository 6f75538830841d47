// podsplit on a simulated cluster: what users apply, but for the workloads. The controller is a process of this machine,
// and no agent runs, since there is no node for it.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { bundle, programs } from '../build.ts';
import { here, clone } from '../cluster/paths.ts';
import { until } from '../cluster/run.ts';
import { defaultImage, manifests } from '../manifests.ts';
import { Child } from './child.ts';
import { freePorts, type SimulatedCluster } from './cluster.ts';
import { writeKubeconfig, type Endpoint, type ServiceAccount } from './service-account.ts';

/** Of the controller. */
export const controllerAccount: ServiceAccount = { namespace: 'podsplit-system', name: 'podsplit' };
const left = ['Deployment', 'DaemonSet', 'PodDisruptionBudget'];

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: {
    readonly type?: string;
    readonly externalName?: string;
    readonly template?: { readonly spec: { readonly containers: readonly { readonly command?: readonly string[] }[] } };
  };
  readonly webhooks?: readonly { readonly clientConfig: { readonly service: object } }[];
}

export interface ControllerPorts {
  readonly webhook: number;
  readonly metrics: number;
  readonly health: number;
}

/** Applies what users apply. The API server calls the webhook on the loopback, by the name of its Service. */
export async function installPodsplit(cluster: SimulatedCluster): Promise<ControllerPorts> {
  const [webhook = 0, metrics = 0, health = 0] = await freePorts(3);
  const kept = podsplitManifests()
    .filter(({ kind }) => !left.includes(kind))
    .map((one) => redirected(one, webhook));
  const nad = await readFile(join(here, 'manifests/nad-crd.yaml'), 'utf8');
  const text = [nad, ...kept.map((one) => stringify(one))].join('\n---\n');
  await cluster.kubectl(['apply', '--server-side', '-f', '-'], text);
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  // All of them: their licences are in one file.
  await bundle(Object.values(programs));
  return { webhook, metrics, health };
}

function podsplitManifests(): readonly Manifest[] {
  return parseAllDocuments(manifests()).map((document) => document.toJS() as Manifest);
}

/** What bounds Node's memory in the Deployment does so here. */
function deploymentsFlags(): readonly string[] {
  const deployment = podsplitManifests().find(({ kind }) => kind === 'Deployment');
  const command = deployment?.spec?.template?.spec.containers[0]?.command ?? [];
  return command.filter((word) => word.startsWith('--'));
}

function redirected(manifest: Manifest, port: number): Manifest {
  if (manifest.kind === 'Service' && manifest.metadata.name === 'podsplit-webhook') {
    return { ...manifest, spec: { type: 'ExternalName', externalName: 'localhost' } };
  }
  if (manifest.webhooks === undefined) return manifest;
  const webhooks = manifest.webhooks.map((webhook) => ({
    ...webhook,
    clientConfig: { service: { ...webhook.clientConfig.service, port } },
  }));
  return { ...manifest, webhooks };
}

export interface ControllerOptions {
  readonly cluster: SimulatedCluster;
  readonly ports: ControllerPorts;
  /** In the place of the API server: a proxy. */
  readonly via?: Endpoint;
  /** Arguments of Node. */
  readonly node?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The bundled controller, with the rights of its ServiceAccount and no others. */
export async function startController({ cluster, ports, via, node = [], env = {} }: ControllerOptions): Promise<Child> {
  const home = join(cluster.folder, 'controller');
  await mkdir(home, { recursive: true });
  const kubeconfig = join(home, 'kubeconfig');
  await writeKubeconfig(kubeconfig, controllerAccount, cluster, via);
  return Child.start(
    'podsplit',
    [process.execPath, ...deploymentsFlags(), ...node, join(clone, programs.podsplit.out), 'controller'],
    join(cluster.folder, 'logs', 'podsplit.log'),
    {
      ...env,
      PATH: process.env['PATH'],
      KUBECONFIG: kubeconfig,
      PODSPLIT_IMAGE: defaultImage,
      PODSPLIT_LISTEN_WEBHOOK: String(ports.webhook),
      PODSPLIT_LISTEN_METRICS: String(ports.metrics),
      PODSPLIT_LISTEN_HEALTH: String(ports.health),
    },
  );
}

/** Until this controller leads, and annotated Pods are cut. */
export async function untilLeading(controller: Child, { metrics, health }: ControllerPorts): Promise<void> {
  await until('the controller leads', 60, async () => {
    if (!controller.running) throw new Error('the controller has ended; see its log');
    return (await page(metrics, 'metrics')).includes('podsplit_leader 1') && (await page(health, 'readyz')) !== '';
  });
}

/** Empty where nobody answers, or not well. */
export async function page(port: number, path: string): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/${path}`);
    return response.ok ? await response.text() : '';
  } catch {
    return '';
  }
}
