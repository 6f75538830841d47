import { timestamp } from '../api/timestamp.ts';
import { readinessGate } from '../api/names.ts';
import { alreadySays, sameJson } from '../api/same-json.ts';
import { podSplitName } from '../api/identity.ts';
import type { PodSplit } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import type { EventRecorder, EventType } from '../kube/events.ts';
import { resources } from '../kube/resources.ts';
import type { PieceAddresses } from '../split/wire.ts';
import type { ResolvedVia } from '../policies/resolve-via.ts';
import { readiness, saysSo, type Observed, type Readiness, type Step } from './lifecycle.ts';
import { isDeleting, isEnded, isGated, piecesCondition, type LivePod } from './piece-pod.ts';
import { statusOf, warningsOf } from './podsplit-status.ts';
import { inexactPolicies } from './policy-mirrors.ts';
import { budgetsTwice } from './sibling-budgets.ts';
import type { Obstacle } from './wire.ts';
import type { World } from './world.ts';

export interface Report {
  readonly seen: Observed;
  readonly primary: LivePod;
  readonly step: Step;
  readonly obstacle: Obstacle | undefined;
  readonly addresses: Readonly<Record<string, PieceAddresses>>;
  /** Where they can change on a Pod that runs (install mode `node`): what the pieces are told now. */
  readonly flows: readonly string[] | undefined;
  readonly observe: boolean;
  /** Whose only way out is whose; undefined as long as nobody can tell. */
  readonly via: readonly ResolvedVia[] | undefined;
}

interface ReporterDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

/** Says what happened where users look: the Pod's readiness condition, its PodSplit, and Events on the Pod and its workload. */
export class Reporter {
  private readonly deps: ReporterDependencies;

  constructor(deps: ReporterDependencies) {
    this.deps = deps;
  }

  async report(report: Report): Promise<void> {
    const { primary, obstacle, seen, step } = report;
    const wanted = verdict(seen, step, obstacle);
    await this.condition(primary, wanted, step.kind);
    await this.status(report, wanted);
    await this.flows(report);
  }

  /** Does it only say how far a Pod has come that was not ready before either, or that it ends, as its object says? */
  isProgress({ primary, seen, step, obstacle }: Report): boolean {
    const wanted = verdict(seen, step, obstacle);
    if (wanted.reason === 'Ending') return true;
    return !wanted.ready && !isTrouble(wanted.reason) && piecesCondition(primary)?.status !== 'True';
  }

  wired(primary: LivePod): void {
    this.event(primary, 'Normal', 'Wired', 'The pieces are made and have their addresses; the Pod may be scheduled.');
  }

  /** Of conditions that are not written yet. */
  warn(pod: LivePod, state: Parameters<typeof warningsOf>[0]): void {
    for (const { reason, message } of warningsOf(state)) this.event(pod, 'Warning', reason, message);
  }

  /** On the Pod, and on what owns it: a gated Pod of a Deployment is not where its user looks first. */
  event(primary: LivePod, type: EventType, reason: string, message: string): void {
    const { events } = this.deps;
    const { namespace, name, uid } = primary;
    events.event({ apiVersion: 'v1', kind: 'Pod', namespace, name, uid }, type, reason, message);
    const split = this.deps.world.podSplits.store.byIndex('split', `${namespace}/${primary.split}`)[0];
    const owner = split?.spec.workload ?? primary.raw.metadata?.ownerReferences?.find((one) => one.controller === true);
    if (owner === undefined || owner.uid === uid || type === 'Normal') return;
    const { apiVersion, kind } = owner;
    events.event(
      { apiVersion, kind, namespace, name: owner.name, uid: owner.uid },
      type,
      reason,
      `Pod ${name}: ${message}`,
    );
  }

  /** As the eviction API says it of a Pod that it deletes: a Job's podFailurePolicy can tell it from a failure. */
  async disrupted(primary: LivePod, reason: string, message: string): Promise<void> {
    const lastTransitionTime = timestamp(this.deps.clock.now());
    const condition = { type: 'DisruptionTarget', status: 'True', reason, message, lastTransitionTime };
    await this.patchQuietly(primary, { metadata: { uid: primary.uid }, status: { conditions: [condition] } });
  }

  private async condition(primary: LivePod, wanted: Readiness, step: Step['kind']): Promise<void> {
    if (isEnded(primary) || saysSo(primary, wanted)) return;
    const before = piecesCondition(primary);
    // Of a Pod that is being replaced its replacement's Event has told already.
    if (!wanted.ready && before?.reason !== wanted.reason && isTrouble(wanted.reason) && step !== 'replace') {
      this.event(primary, 'Warning', wanted.reason, wanted.message);
    }
    const status = wanted.ready ? 'True' : 'False';
    const now = timestamp(this.deps.clock.now());
    const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
    const { reason, message } = wanted;
    const condition = { type: readinessGate, status, reason, message, lastTransitionTime };
    // Conditions merge by type: the kubelet's own, written at the same time, are not touched.
    const body = { metadata: { uid: primary.uid }, status: { conditions: [condition] } };
    await this.patchQuietly(primary, body);
  }

  private async patchQuietly(primary: LivePod, body: object): Promise<void> {
    try {
      await this.deps.client.patch(resources.pods, primary, { type: 'strategic', body }, { subresource: 'status' });
    } catch (error) {
      // Gone meanwhile, or another Pod of the name: nobody is left to tell.
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  private async flows({ primary, flows }: Report): Promise<void> {
    const current = this.podSplitOf(primary);
    if (flows === undefined || current === undefined || sameJson(flows, current.spec.flows)) return;
    const { uid, name } = current.metadata;
    try {
      const body = { metadata: { uid }, spec: { flows } };
      const { namespace } = primary;
      await this.deps.client.patch(resources.podSplits, { namespace, name }, { type: 'merge', body });
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  private podSplitOf(primary: LivePod): PodSplit | undefined {
    const name = podSplitName(primary.name, primary.uid);
    return this.deps.world.podSplits.store.get(`${primary.namespace}/${name}`);
  }

  private async status({ primary, seen, obstacle, addresses, observe, via }: Report, wanted: Readiness): Promise<void> {
    const { client, clock, world } = this.deps;
    const current = this.podSplitOf(primary);
    if (current === undefined) return;
    const budgets = budgetsTwice(world.budgets.store, seen.siblings);
    this.warn(primary, { observe, via, budgets, previous: current.status });
    const status = statusOf({
      primary,
      siblings: seen.siblings,
      expected: seen.expected.length,
      addresses,
      readiness: wanted,
      refused: obstacle,
      observe,
      via,
      budgets,
      inexact: inexactPolicies(world.networkPolicies.store, primary),
      previous: current.status,
      now: timestamp(clock.now()),
    });
    // The node's agent writes what was denied and what was used; a merge leaves it there.
    if (alreadySays(current.status, status)) return;
    try {
      const body = { metadata: { uid: current.metadata.uid }, status };
      await client.patch(
        resources.podSplits,
        { namespace: primary.namespace, name: current.metadata.name },
        { type: 'merge', body },
        { subresource: 'status' },
      );
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
  }
}

/** One sentence for the user: what stands in the way, or how the pieces are. */
function verdict(seen: Observed, step: Step, obstacle: Obstacle | undefined): Readiness {
  if (obstacle !== undefined) return { ready: false, reason: obstacle.reason, message: obstacle.message };
  if (step.kind === 'stuck' || step.kind === 'replace')
    return { ready: false, reason: step.reason, message: step.message };
  if (step.kind === 'settle') return { ready: false, reason: 'AddressesChanging', message: step.message };
  if (seen.primary !== undefined && isDeleting(seen.primary))
    return { ready: false, reason: 'Ending', message: 'The Pod is being deleted.' };
  if (seen.primary !== undefined && isGated(seen.primary)) {
    return { ready: false, reason: 'Wiring', message: 'The pieces are being made and get their addresses.' };
  }
  return readiness(seen);
}

/** What passes by itself is shown in the condition, and is no Event. */
function isTrouble(reason: string): boolean {
  return ![
    'Wiring',
    'PiecesNotReady',
    'SidecarNotStarted',
    'AddressesChanging',
    'Ending',
    'PieceEnding',
    'ClaimReleasing',
    'NetworkPending',
    'PoliciesPending',
  ].includes(reason);
}
