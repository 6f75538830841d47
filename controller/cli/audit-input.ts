import type { Candidate } from '../audit/audit-pod.ts';
import type { Facts } from '../audit/subject.ts';
import { controllerOf, workloadOfPod } from '../audit/workload.ts';
import { at, isRecord, list, record, type JsonObject } from '../api/json.ts';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { selects } from '../policies/label-selector.ts';
import type { Manifest } from './input.ts';
import { isNetworkPolicy } from './network-policy.ts';
import { pathInManifest, replicaOf, textLabels } from './workloads.ts';

/** What is audited, and what has a say in it. */
export interface AuditInput {
  readonly candidates: readonly Candidate[];
  /** By namespace: claims that one Pod alone may mount. */
  readonly readWriteOncePod: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Objects beside the Pods, by what they say of those of their namespace. */
export interface Surroundings {
  readonly networkPolicies: readonly JsonObject[];
  readonly claims: readonly JsonObject[];
  readonly jobs: readonly JsonObject[];
  readonly serviceAccounts: readonly JsonObject[];
  readonly namespaces: readonly JsonObject[];
}

/** @param namespace of objects that name none */
export function inputOfManifests(manifests: readonly Manifest[], namespace: string | undefined): AuditInput {
  const placed = manifests.map((manifest) => ({
    ...manifest,
    namespace: manifest.namespace ?? namespace,
    object: inNamespace(manifest.object, manifest.namespace ?? namespace),
  }));
  const ofKind = (kind: string): readonly JsonObject[] =>
    placed.filter((manifest) => manifest.kind === kind).map(({ object }) => object);
  const surroundings = {
    networkPolicies: ofKind('NetworkPolicy'),
    claims: ofKind('PersistentVolumeClaim'),
    jobs: ofKind('Job'),
    serviceAccounts: ofKind('ServiceAccount'),
    namespaces: ofKind('Namespace'),
  };
  const facts = factsOf(surroundings);
  const live = placed.map((manifest) =>
    isAdmitted(manifest) ? [podCandidate(manifest.object, facts, surroundings)] : [],
  );
  // Of a workload that runs, what its Pods are counts, not what its template says.
  const running = new Set(live.flat().map(({ workload }) => keyOf(workload)));
  const names = new Set(placed.map(({ namespace: space = '', kind, name }) => keyOf({ namespace: space, kind, name })));
  const candidates = placed.flatMap((manifest, origin): readonly Candidate[] => {
    const found = live[origin] ?? [];
    if (found.length > 0) return found.map((candidate) => ({ ...candidate, origin }));
    const space = manifest.namespace ?? '';
    const owner = controllerOf(manifest.object['metadata']);
    if (owner !== undefined && names.has(keyOf({ namespace: space, ...owner }))) return [];
    if (running.has(keyOf({ namespace: space, kind: manifest.kind, name: manifest.name }))) return [];
    const replica = replicaOf(manifest);
    if (replica === undefined) return [];
    return [
      {
        workload: { namespace: space, kind: manifest.kind, name: manifest.name },
        pod: inNamespace(replica.pod, manifest.namespace),
        facts: facts(replica.pod, space, false),
        pathOf: (path) => pathInManifest(replica, path),
        origin,
      },
    ];
  });
  const claims = placed.flatMap((manifest) =>
    (replicaOf(manifest)?.claims ?? []).map((claim) => inNamespace(claim, manifest.namespace)),
  );
  return { candidates, readWriteOncePod: readWriteOncePod([...surroundings.claims, ...claims]) };
}

/** Of Pods as the API server has them. */
export function inputOfPods(pods: readonly JsonObject[], surroundings: Surroundings): AuditInput {
  const facts = factsOf(surroundings);
  return {
    candidates: pods.map((pod) => podCandidate(pod, facts, surroundings)),
    readWriteOncePod: readWriteOncePod(surroundings.claims),
  };
}

type FactsOf = (pod: JsonObject, namespace: string, admitted: boolean) => Facts;

function podCandidate(pod: JsonObject, facts: FactsOf, { jobs }: Surroundings): Candidate {
  const workload = workloadOfPod(pod, cronJobsOf(jobs));
  return { workload, pod, facts: facts(pod, workload.namespace, true), pathOf: (path) => path, origin: 0 };
}

/** The API server gave it a UID, and admission has been there before. */
function isAdmitted({ kind, object }: Pick<Manifest, 'kind' | 'object'>): boolean {
  return kind === 'Pod' && typeof at(object, ['metadata', 'uid']) === 'string';
}

const cronJobs = new WeakMap<readonly JsonObject[], ReadonlyMap<string, string>>();

function cronJobsOf(jobs: readonly JsonObject[]): ReadonlyMap<string, string> {
  const known = cronJobs.get(jobs);
  if (known !== undefined) return known;
  const found = new Map(
    jobs.flatMap((job): [string, string][] => {
      const owner = controllerOf(job['metadata']);
      return owner?.kind === 'CronJob' ? [[`${namespaceOf(job)}/${nameOf(job)}`, owner.name]] : [];
    }),
  );
  cronJobs.set(jobs, found);
  return found;
}

function factsOf({ networkPolicies, serviceAccounts, namespaces }: Surroundings): FactsOf {
  const labelled = new Map(namespaces.map((object) => [nameOf(object), textLabels(object)]));
  const restricting = Map.groupBy(
    networkPolicies.flatMap((policy): INetworkPolicy[] =>
      isNetworkPolicy(policy) && restrictsEgress(policy) ? [policy] : [],
    ),
    ({ metadata }) => metadata?.namespace ?? '',
  );
  const tokenless = new Set(
    serviceAccounts
      .filter((account) => account['automountServiceAccountToken'] === false)
      .map((account) => `${namespaceOf(account)}/${nameOf(account)}`),
  );
  return (pod, namespace, admitted) => {
    const spec = record(pod['spec']);
    const account = spec['serviceAccountName'] ?? spec['serviceAccount'];
    const labels = textLabels(pod);
    const ofNamespace = labelled.get(namespace);
    return {
      admitted,
      ...(ofNamespace === undefined ? {} : { namespaceLabels: ofNamespace }),
      accountMountsToken: !tokenless.has(
        `${namespace}/${typeof account === 'string' && account !== '' ? account : 'default'}`,
      ),
      egressPolicies: (restricting.get(namespace) ?? [])
        .filter((policy) => selects(policy.spec?.podSelector, labels))
        .map(({ metadata }) => metadata?.name ?? ''),
    };
  };
}

/** Where policyTypes is left out, egress counts if there are rules for it (networking.k8s.io/v1, NetworkPolicySpec). */
function restrictsEgress({ spec }: INetworkPolicy): boolean {
  return spec?.policyTypes === undefined ? spec?.egress !== undefined : spec.policyTypes.includes('Egress');
}

function readWriteOncePod(claims: readonly JsonObject[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = claims.filter((claim) => list(at(claim, ['spec', 'accessModes'])).includes('ReadWriteOncePod'));
  const groups = Map.groupBy(found, namespaceOf);
  return new Map([...groups].map(([namespace, group]) => [namespace, new Set(group.map(nameOf))]));
}

function inNamespace(object: JsonObject, namespace: string | undefined): JsonObject {
  const metadata = object['metadata'];
  if (namespace === undefined || !isRecord(metadata)) return object;
  return { ...object, metadata: { ...metadata, namespace } };
}

function namespaceOf(object: JsonObject): string {
  const namespace = at(object, ['metadata', 'namespace']);
  return typeof namespace === 'string' ? namespace : '';
}

function nameOf(object: JsonObject): string {
  const name = at(object, ['metadata', 'name']);
  return typeof name === 'string' ? name : '';
}

function keyOf({
  namespace,
  kind,
  name,
}: {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}): string {
  return `${namespace}/${kind}/${name}`;
}
