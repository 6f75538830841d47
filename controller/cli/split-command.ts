import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { Mode } from '../api/annotations.ts';
import { defaultGuards } from '../api/guards.ts';
import type { WorkloadRef } from '../api/identity.ts';
import type { InstallMode } from '../api/install.ts';
import { isRecord, type JsonObject } from '../api/json.ts';
import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { admit, type AdmitOptions } from '../isolate/admit.ts';
import { wantsIsolation } from '../isolate/judge.ts';
import { buildIsolateWiring, withoutPolicies } from '../isolate/wire.ts';
import type { IsolatePlan } from '../isolate/plan.ts';
import { inexactFor, inexactnesses } from '../policies/inexact.ts';
import { findsAsPeer, peerMirror } from '../policies/peer-mirror.ts';
import type { SplitPodLabels } from '../policies/pieces-found.ts';
import { canonicalAddress } from '../rules/addresses.ts';
import { compileIsolateTable } from '../rules/isolate-table.ts';
import { printTable } from '../rules/nft.ts';
import { type Labels, type WithDefaults, withNamespaceDefaults } from '../split/namespace-defaults.ts';
import { restrictedConflicts } from '../split/checks/restricted.ts';
import { hardeningGaps } from '../split/harden.ts';
import type { LeftAlone, Plan, Reason } from '../split/plan.ts';
import { modeOf } from '../split/pod.ts';
import { restore } from '../split/removed.ts';
import { shapeOf } from '../split/shape.ts';
import { CliError } from './cli-error.ts';
import { type Io, type Manifest, readManifests } from './input.ts';
import { isNetworkPolicy } from './network-policy.ts';
import { type Network, readNetwork } from './network.ts';
import { printJson, printYaml } from './output.ts';
import { type Rendered, render } from './render.ts';
import { formatReport } from './report.ts';
import { namespaceLabels, type Replica, pathInManifest, replicaOf } from './workloads.ts';

export interface SplitCommand {
  readonly files: readonly string[];
  readonly output: 'yaml' | 'json';
  readonly explain: boolean;
  readonly image: string;
  /** For objects that name none. */
  readonly namespace: string | undefined;
  readonly networkFile: string | undefined;
  /** For workloads whose annotations and SplitNetwork do not say how rules are loaded. */
  readonly install: InstallMode;
  /** For workloads that have no mode annotation. */
  readonly mode: Mode | undefined;
  /** For workloads that have no guards annotation. */
  readonly guards: string | undefined;
  readonly multiNetworkPolicies: boolean;
  /** Of the cluster, which nobody asks here. */
  readonly clusterDns: readonly string[];
}

/** What the guard hardening would give the containers, and for what fields it would refuse the Pod instead. */
export interface Hardening {
  readonly gaps: readonly Reason[];
  readonly conflicts: readonly string[];
}

/** What became of one object of the input. */
export type Result = { readonly manifest: Manifest } & (
  | {
      readonly kind: 'split';
      readonly plan: Plan;
      readonly hardening: Hardening;
      readonly rendered: Rendered;
      readonly claims: readonly object[];
      /** Sentences about policies of the input that mean other things for siblings than for their Pod. */
      readonly inexact: readonly string[];
    }
  | { readonly kind: 'isolate'; readonly plan: IsolatePlan; readonly hardening: Hardening; readonly rules: string }
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }
  | { readonly kind: 'left-alone'; readonly message: string; readonly code: string }
  | { readonly kind: 'not-annotated'; readonly ignored: readonly string[] }
  | { readonly kind: 'no-workload' }
);

/**
 * `kubectl podsplit split`: prints the input with each annotated workload replaced by what the cluster would run for one
 * replica. Returns the exit code: 0, or 1 where a workload was refused.
 */
export async function runSplit(command: SplitCommand, io: Io): Promise<number> {
  const network = await readNetwork(command.networkFile, io);
  const manifests = await readManifests(command.files, io);
  const context: Context = {
    command,
    network,
    policies: policiesIn(manifests),
    namespaces: namespaceLabels(manifests),
    names: new Set(),
    mirrored: new Set(),
  };
  const results = manifests.map((manifest) => resultOf(manifest, context));
  io.stdout(command.output === 'json' ? printJson(results) : printYaml(results));
  io.stderr(formatReport(results, command.explain));
  return results.some((result) => result.kind === 'refused') ? 1 : 0;
}

interface Context {
  readonly command: SplitCommand;
  readonly network: Network;
  readonly policies: readonly UserPolicy[];
  /** Labels of those that are in the input. */
  readonly namespaces: ReadonlyMap<string, Labels>;
  /** Of the primaries so far. */
  readonly names: Set<string>;
  /** Policies that have been printed a mirror for: `namespace/name`. */
  readonly mirrored: Set<string>;
}

function resultOf(manifest: Manifest, context: Context): Result {
  const { command, network } = context;
  const replica = replicaOf(manifest);
  if (replica === undefined) return { manifest, kind: 'no-workload' };
  const labels = labelsFor(manifest, context);
  const given = withNamespaceDefaults(asPod(replica.pod), labels);
  const moded = given.kind === 'refused' || command.mode === undefined ? given : withMode(given.pod, command.mode);
  // Guards count for what opted in only just now, too.
  const candidate = moded.kind === 'refused' ? moded : withNamespaceDefaults(moded.pod, labels);
  const refused = (refusals: readonly Refusal[]): Result => ({
    manifest,
    kind: 'refused',
    refusals: refusals.map((refusal) => ({ ...refusal, path: pathInManifest(replica, refusal.path) })),
  });
  if (candidate.kind === 'refused') return refused(candidate.refusals);
  if (modeOf(candidate.pod) === undefined)
    return { manifest, kind: 'not-annotated', ignored: ourAnnotations(candidate.pod) };
  if (manifest.name === '') return refused([nameMissing]);
  const options = optionsOf(context);
  const shape = shapeOf(candidate.pod);
  if (shape.kind === 'invalid') return refused(shape.refusals);
  const restored = wantsIsolation(shape.pod) ? ({ kind: 'whole', pod: shape.pod } as const) : restore(shape.pod);
  if (restored.kind === 'refused') return refused(restored.refusals);
  const whole = wantsIsolation(shape.pod) ? restored.pod : named(restored.pod, replica, context);

  const { pod, judgement: plan } = admit(whole, options);
  if (plan.kind === 'refused') return refused(plan.refusals);
  if (plan.kind === 'left-alone') return leftAlone(manifest, plan);
  const hardening = {
    gaps: hardeningGaps(pod),
    conflicts: restrictedConflicts(pod).map(({ path }) => pathInManifest(replica, path)),
  };
  if (plan.kind === 'isolate') {
    return { manifest, kind: 'isolate', plan, hardening, rules: rulesOf(plan, resolversFor(plan, manifest, command)) };
  }
  if (plan.network !== network.name) {
    throw new CliError(
      `${nameOf(manifest)} takes its addresses from SplitNetwork ${plan.network}. Give its manifest: --network-file FILE.`,
    );
  }
  const resolvers = resolversFor(plan, manifest, command);
  const workload = workloadOf(manifest, pod, command);
  const peers = { namespace: pod.metadata?.namespace ?? '', labels: pod.metadata?.labels ?? {} };
  const rendered = render({
    pod,
    plan,
    workload,
    network,
    options,
    userPolicies: context.policies
      .filter(({ namespace }) => (namespace ?? command.namespace) === (manifest.namespace ?? command.namespace))
      .map(({ policy }) => policy),
    multiNetworkPolicies: command.multiNetworkPolicies,
    resolvers,
  });
  const own = inNamespace(rendered, manifest, command);
  return {
    manifest,
    kind: 'split',
    plan,
    hardening,
    claims: replica.claims,
    rendered: { ...own, objects: [...own.objects, ...peerMirrors(peers, context)] },
    inexact: context.policies.flatMap(({ policy, ...at }) =>
      inexactFor(inNamespaceOf(policy, at.namespace ?? command.namespace), peers).map(
        (kind) => `NetworkPolicy ${policy.metadata?.name ?? ''} ${inexactnesses[kind]}.`,
      ),
    ),
  };
}

/** One for each policy, however many workloads of the input it lets in. */
function peerMirrors(pod: SplitPodLabels, { policies, command, mirrored }: Context): readonly INetworkPolicy[] {
  return policies.flatMap(({ policy, namespace }) => {
    const mirror = peerMirror(policy);
    const key = `${namespace ?? ''}/${policy.metadata?.name ?? ''}`;
    if (mirror === undefined || mirrored.has(key)) return [];
    if (!findsAsPeer(inNamespaceOf(policy, namespace ?? command.namespace), pod)) return [];
    mirrored.add(key);
    return [mirror];
  });
}

function inNamespaceOf(policy: INetworkPolicy, namespace = ''): INetworkPolicy {
  return { ...policy, metadata: { ...policy.metadata, namespace } };
}

function leftAlone(manifest: Manifest, { message, code }: LeftAlone): Result {
  return { manifest, kind: 'left-alone', message, code };
}

/** Without what only a cluster knows: policies, and where its kubelets probe from. */
function rulesOf(plan: IsolatePlan, resolvers: readonly string[]): string {
  const wiring = buildIsolateWiring({ plan, split: 'offline', policies: withoutPolicies(plan), resolvers });
  return printTable(compileIsolateTable(wiring, { podIPs: [], nodeIPs: [] }));
}

/** @throws CliError where a container may ask the cluster's DNS, and nobody says where that is. */
function resolversFor({ via }: Pick<Plan, 'via'>, manifest: Manifest, { clusterDns }: SplitCommand): readonly string[] {
  const addresses = clusterDns.flatMap((address) => canonicalAddress(address) ?? []);
  const wanted = via.some(({ dns }) => dns === 'cluster');
  if (addresses.length === clusterDns.length && !(wanted && addresses.length === 0)) return addresses;
  throw new CliError(
    `${nameOf(manifest)} may ask the cluster's DNS. Say where that is: --cluster-dns ADDRESS[,ADDRESS].`,
  );
}

function optionsOf({ command, network }: Context): AdmitOptions {
  const { install, resources } = network.spec;
  return {
    image: command.image,
    maxContainers: network.maxContainers,
    install: { otherwise: command.install, byNetwork: new Map(install && [[network.name, install]]) },
    guards: defaultGuards,
    resourceDefaults: new Map(resources && [[network.name, resources]]),
  };
}

const nameMissing: Refusal = {
  code: 'InvalidPod',
  path: 'metadata.name',
  message: 'Is missing.',
  action: 'Give the workload a name.',
};

/** `deployment/web`, as kubectl prints it. */
export function nameOf({ kind, name }: Manifest): string {
  return `${kind.toLowerCase()}/${name}`;
}

/** Two workloads of one name and different kinds have Pods of different names in a cluster. */
function named(pod: IPod, replica: Replica, { names, command }: Context): IPod {
  const { name = '', generateName = '' } = pod.metadata ?? {};
  const wanted = name === '' ? `${generateName.replace(/-$/, '')}-0` : name;
  const namespace = replica.manifest.namespace ?? command.namespace ?? '';
  const taken = names.has(`${namespace}/${wanted}`);
  const unique = taken ? `${wanted.slice(0, 200)}-${replica.manifest.kind.toLowerCase()}` : wanted;
  names.add(`${namespace}/${unique}`);
  return { ...pod, metadata: { ...pod.metadata, name: unique, ...(namespace === '' ? {} : { namespace }) } };
}

function workloadOf(manifest: Manifest, pod: IPod, { namespace }: SplitCommand): WorkloadRef {
  const metadata = isRecord(manifest.object['metadata']) ? manifest.object['metadata'] : {};
  const { uid } = metadata;
  return {
    apiVersion: manifest.apiVersion,
    kind: manifest.kind,
    namespace: manifest.namespace ?? namespace ?? 'default',
    name: manifest.kind === 'Pod' ? (pod.metadata?.name ?? '') : manifest.name,
    uid: typeof uid === 'string' ? uid : '',
  };
}

/** Objects that name no namespace go where `kubectl apply -n` sends them, and what is generated goes along. */
function inNamespace(rendered: Rendered, manifest: Manifest, { namespace }: SplitCommand): Rendered {
  if (manifest.namespace !== undefined || namespace !== undefined) return rendered;
  return { ...rendered, objects: rendered.objects.map(withoutNamespace) };
}

function withoutNamespace(object: object): object {
  if (!('metadata' in object) || !isRecord(object.metadata)) return object;
  const { namespace: _namespace, ...metadata } = object.metadata;
  return { ...object, metadata };
}

interface UserPolicy {
  readonly namespace: string | undefined;
  readonly policy: INetworkPolicy;
}

/** They select Pods of the same input: what they keep a Pod from, its pieces are kept from. */
function policiesIn(manifests: readonly Manifest[]): readonly UserPolicy[] {
  return manifests
    .filter(({ kind, apiVersion }) => kind === 'NetworkPolicy' && apiVersion === 'networking.k8s.io/v1')
    .map((manifest) => ({ namespace: manifest.namespace, policy: networkPolicyOf(manifest) }));
}

function networkPolicyOf(manifest: Manifest): INetworkPolicy {
  if (isNetworkPolicy(manifest.object)) return manifest.object;
  throw new CliError(`${nameOf(manifest)}: is not a NetworkPolicy that an API server would take. Correct its spec.`);
}

/** Of the workload's namespace, as far as the input has them. */
function labelsFor({ namespace }: Manifest, { command, namespaces }: Context): Labels {
  return {
    ...(command.guards === undefined ? {} : { [userAnnotations.guards]: command.guards }),
    ...namespaces.get(namespace ?? command.namespace ?? ''),
  };
}

function withMode(pod: IPod, mode: string): WithDefaults {
  if (modeOf(pod) !== undefined) return { kind: 'pod', pod };
  const annotations = { ...pod.metadata?.annotations, [userAnnotations.mode]: mode };
  return { kind: 'pod', pod: { ...pod, metadata: { ...pod.metadata, annotations } } };
}

/** `shapeOf` looks whether it is one. */
function asPod(pod: JsonObject): IPod {
  return { ...pod, apiVersion: 'v1', kind: 'Pod' };
}

function ourAnnotations(pod: unknown): readonly string[] {
  const metadata = isRecord(pod) ? pod['metadata'] : undefined;
  const annotations = isRecord(metadata) ? metadata['annotations'] : undefined;
  return isRecord(annotations) ? Object.keys(annotations).filter((key) => key.startsWith('podsplit.io/')) : [];
}
