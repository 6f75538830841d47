/**
 * `make install`: what users apply, onto the cluster that KUBECONFIG names (the embedded one by default), and waits until
 * it answers admission. Says what is missing where something is.
 *
 *   node hack/install.ts [--image IMAGE]
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { imagesDir } from './images/cache.ts';
import { kubeconfig, kubectl, tryKubectl } from './kubectl.ts';
import { manifests } from './manifests.ts';

interface Requirement {
  readonly what: string;
  readonly met: () => boolean;
  readonly mend: string;
}

const requirements: readonly Requirement[] = [
  {
    what: `an API server that answers (kubeconfig ${kubeconfig})`,
    met: () => tryKubectl(['get', '--raw', '/readyz'], { timeoutMs: 15_000 }) !== undefined,
    mend: 'Run `make cluster` for the embedded one, or set KUBECONFIG.',
  },
  {
    what: 'Multus and its NetworkAttachmentDefinition CRD (k8s.cni.cncf.io)',
    met: () => tryKubectl(['get', 'crd', 'network-attachment-definitions.k8s.cni.cncf.io']) !== undefined,
    mend: 'Install Multus CNI with namespaceIsolation, and the CNI plugins bridge, static and tuning on every node.',
  },
  {
    what: 'Kubernetes 1.31 or newer (ValidatingAdmissionPolicy, matchConditions, CEL of IP ranges)',
    met: () => minorVersion() >= 31,
    mend: 'Upgrade the cluster.',
  },
];

function minorVersion(): number {
  const { minor = '' } = JSON.parse(tryKubectl(['get', '--raw', '/version']) ?? '{}') as { readonly minor?: string };
  return Number.parseInt(minor, 10);
}

export function install(image?: string): void {
  for (const requirement of requirements) {
    if (requirement.met()) continue;
    throw new Error(`missing: ${requirement.what}. ${requirement.mend}`);
  }
  const text = manifests(image === undefined ? imageKey() : { image });
  kubectl(['apply', '--server-side', '--force-conflicts', '--field-manager=podsplit-install', '-f', '-'], {
    input: text,
  });
  for (const [namespace, workload] of [
    ['podsplit-system', 'deployment/podsplit'],
    ['podsplit-node', 'daemonset/podsplit-agent'],
  ] as const) {
    kubectl(['-n', namespace, 'rollout', 'status', workload, '--timeout=120s'], { show: true });
  }
  waitForAdmission();
}

/** Of the image that was built here, if it was: its tag stays `dev` whatever is in it. */
function imageKey(): { readonly imageKey?: string } {
  const file = join(imagesDir(), 'podsplit.key');
  return existsSync(file) ? { imageKey: readFileSync(file, 'utf8').trim() } : {};
}

/**
 * The controller makes its certificate itself and tells the API server: until then an annotated Pod is refused. A dry run
 * of one shows when it is over.
 */
function waitForAdmission(): void {
  const probe = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'podsplit-install-probe',
      namespace: 'default',
      annotations: { 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'none' },
    },
    spec: {
      containers: ['a', 'b'].map((name) => ({ name, image: 'scratch.invalid/none' })),
    },
  });
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      kubectl(['create', '--dry-run=server', '-f', '-'], { input: probe });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error('the webhook does not answer', { cause: error });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
    }
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { image: { type: 'string' } } });
  try {
    install(values.image);
    console.log('podsplit is installed: annotate a Deployment with podsplit.io/mode=split');
  } catch (error) {
    console.error(`install: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
