import { ownLabels } from '../api/names.ts';
import type { MutatingWebhookConfiguration, Pod } from '../kube/resources.ts';
import { selects } from '../policies/label-selector.ts';
import { few, ok, type Outcome, seenOr, warning, whereSeen } from './check-outcome.ts';
import { distinct } from './check-nodes.ts';
import { type Snapshot, webhookName } from './check-snapshot.ts';
import { counted } from './table.ts';

interface Injector {
  readonly name: string;
  /** Of the configuration, its webhooks and the Service behind them. */
  readonly find: RegExp;
  readonly kind: keyof typeof kinds;
}

interface Kind {
  readonly does: string;
  readonly mend: string;
}

const kinds = {
  mesh: {
    does: 'adds a proxy, and an init container that programs the network of the Pod: such a Pod is refused (NetworkCapability)',
    mend: 'Take these workloads out of the mesh by its own label or annotation. A proxy that you run yourself judges what comes and goes by podsplit.io/ingress-via and egress-via: docs/decisions/0022-traffic-enters-by-the-proxy.md.',
  },
  sidecar: {
    does: 'may add a container, which becomes a piece of its own and reaches nothing of the others but the ports that they declare',
    mend: 'See what it makes of a Pod: kubectl podsplit status POD. Open what its container needs by podsplit.io/flows, and close what it does not.',
  },
} as const satisfies Readonly<Record<string, Kind>>;

/** By the names that their manifests and charts give them. */
const injectors: readonly Injector[] = [
  { name: 'Istio', find: /istio/, kind: 'mesh' },
  { name: 'Linkerd', find: /linkerd/, kind: 'mesh' },
  { name: 'Consul', find: /consul/, kind: 'mesh' },
  { name: 'Kuma', find: /kuma|kong-mesh/, kind: 'mesh' },
  { name: 'AWS App Mesh', find: /appmesh/, kind: 'mesh' },
  { name: 'Open Service Mesh', find: /\bosm\b|osm-webhook|openservicemesh/, kind: 'mesh' },
  { name: 'Vault', find: /vault/, kind: 'sidecar' },
  { name: 'Datadog', find: /datadog/, kind: 'sidecar' },
  { name: 'Dapr', find: /dapr/, kind: 'sidecar' },
  { name: 'OpenTelemetry', find: /opentelemetry/, kind: 'sidecar' },
  { name: 'Dynatrace', find: /dynatrace|dynakube/, kind: 'sidecar' },
  { name: 'New Relic', find: /newrelic|new-relic/, kind: 'sidecar' },
  { name: 'Instana', find: /instana/, kind: 'sidecar' },
  { name: 'Akeyless', find: /akeyless/, kind: 'sidecar' },
  { name: 'Conjur', find: /conjur|cyberark/, kind: 'sidecar' },
  { name: 'Jaeger', find: /jaeger/, kind: 'sidecar' },
  { name: 'Tailscale', find: /tailscale/, kind: 'sidecar' },
  { name: 'Cloud SQL proxy', find: /cloud-sql-proxy/, kind: 'sidecar' },
  { name: 'GCS FUSE', find: /gcsfuse|gke-?fuse/, kind: 'sidecar' },
];

type Webhook = NonNullable<MutatingWebhookConfiguration['webhooks']>[number];

export function checkInjectors(snapshot: Snapshot): readonly Outcome[] {
  return whereSeen(snapshot.webhooks, (configurations) => {
    const others = configurations.flatMap(({ metadata, webhooks = [] }) =>
      metadata.name === webhookName
        ? []
        : webhooks.filter(seesNewPods).map((webhook) => ({ configuration: metadata.name, webhook })),
    );
    const known = [...Map.groupBy(others, ({ configuration, webhook }) => injectorOf(configuration, webhook))];
    const outcomes = known.flatMap(([injector, its]): readonly Outcome[] =>
      injector === undefined ? [] : [outcomeOf(injector, its, snapshot)],
    );
    const rest = distinct(
      others
        .filter(({ configuration, webhook }) => injectorOf(configuration, webhook) === undefined)
        .map(({ configuration }) => configuration),
    );
    if (rest.length > 0) {
      const what = `${few(rest)} may change new Pods; of a Pod that opted in, what is added is judged again.`;
      return [...outcomes, ok(what)];
    }
    return outcomes.length > 0 ? outcomes : [ok('No other webhook changes new Pods.')];
  });
}

function injectorOf(configuration: string, { name, clientConfig }: Webhook): Injector | undefined {
  const { service } = clientConfig;
  const text = [configuration, name, service?.namespace ?? '', service?.name ?? ''].join(' ').toLowerCase();
  return injectors.find(({ find }) => find.test(text));
}

function seesNewPods({ rules = [] }: Webhook): boolean {
  const has = (list: readonly string[] | undefined, ...any: readonly string[]) =>
    any.some((each) => list?.includes(each) === true);
  return rules.some(
    ({ apiGroups, resources, operations }) =>
      has(apiGroups, '', '*') && has(resources, 'pods', '*', '*/*') && has(operations, 'CREATE', '*'),
  );
}

interface Found {
  readonly configuration: string;
  readonly webhook: Webhook;
}

function outcomeOf({ name, kind }: Injector, found: readonly Found[], snapshot: Snapshot): Outcome {
  const { does, mend } = kinds[kind];
  const title = `${name} (${few(distinct(found.map(({ configuration }) => configuration)))})`;
  const namespaces = seenOr(snapshot.namespaces, undefined);
  const labelsOf = (namespace: string) =>
    namespaces?.find(({ metadata }) => metadata.name === namespace)?.metadata.labels ?? {};
  const reaches = (namespace: string): readonly Found[] =>
    found.filter(({ webhook }) => namespaces === undefined || selects(webhook.namespaceSelector, labelsOf(namespace)));
  const pods = seenOr(snapshot.splitPods, []).filter(isOfWorkload);
  const hit = pods.filter(({ metadata }) =>
    reaches(metadata.namespace ?? '').some(({ webhook }) => selects(webhook.objectSelector, metadata.labels ?? {})),
  );
  if (hit.length > 0) {
    const where = few(distinct(hit.map(({ metadata }) => metadata.namespace)));
    return warning(
      `${title} ${does}. It is asked about Pods like ${counted(hit.length, 'split one')} of ${where}.`,
      mend,
    );
  }
  const open = namespaces?.map(({ metadata }) => metadata.name).filter((namespace) => reaches(namespace).length > 0);
  if (open?.length === 0) return ok(`${title} is asked about Pods of no namespace there is.`);
  const where = open === undefined ? 'namespaces that you may not list' : few(open);
  // What opted in already is not among them: then nothing is in the way today.
  return pods.length > 0
    ? ok(`${title} is asked about Pods of ${where}, and about no split one.`)
    : warning(`${title} ${does}. It is asked about Pods of ${where}.`, mend);
}

function isOfWorkload({ metadata }: Pod): boolean {
  return metadata.labels?.[ownLabels.role] !== 'sibling';
}
