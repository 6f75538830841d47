import { formatFlow } from '../api/flow.ts';
import { nadName } from '../api/identity.ts';
import { ownAnnotations } from '../api/names.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import { done, sooner, type Outcome } from '../kube/worker.ts';
import type { Logger } from '../observability/log.ts';
import { podIPAnnotations } from '../split/downward-api.ts';
import type { Plan } from '../split/plan.ts';
import { ageSeconds } from './age.ts';
import { dnsUnknown } from './cluster-dns.ts';
import { createOrFind } from './create-or-find.ts';
import { labelNews } from './kept-labels.ts';
import { nextStep, type Observed, type Step } from './lifecycle.ts';
import { Memories, type Memory } from './memory.ts';
import { MissingSince } from './missing-since.ts';
import { carries, newsOf, type Annotations } from './news.ts';
import {
  carriedEndpoint,
  installOf,
  isDeleting,
  isGated,
  loadedRules,
  podIPs,
  readsPodIP,
  wiredPeers,
  type LivePod,
} from './piece-pod.ts';
import { planOf } from './plan-of.ts';
import { annotatedVia, type ResolvedVia } from '../policies/resolve-via.ts';
import { splitSubject } from '../policies/subject.ts';
import { podSplitOf } from './podsplit-status.ts';
import { policed, policedVia, policedWiring, type Policed } from './policy-book.ts';
import type { Report, Reporter } from './reporter.ts';
import { wire, type WiringDependencies } from './wire.ts';
import { workloadOf } from './workload-of.ts';
import type { SplitKey } from './world.ts';

export interface SplitPodDependencies extends WiringDependencies {
  readonly reporter: Reporter;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many split Pods wait for a worker. */
  readonly waiting: () => number;
  /** Seconds from the Pod's creation until its pieces may start: they are released (`init`) or their gates lifted (`node`). */
  readonly released?: (seconds: number) => void;
}

/**
 * A Pod that starts says how far it has come this often at most: what is over before anybody reads it is not written. Where
 * others wait, they wait for the very writes that this would be: of all together no more than four a second say so.
 */
export function progressMs(waiting: number): number {
  return waiting === 0 ? 3_000 : 30_000 + 250 * waiting;
}

/** Looks again whether still so many wait. */
const progressLookMs = 300_000;

/** Reconciles one split Pod: looks, does the one next thing, and says on the Pod, its PodSplit and in Events what it saw. */
export class SplitPodReconciler {
  private readonly deps: SplitPodDependencies;
  private readonly memories: Memories;
  private readonly unshown: MissingSince;

  constructor(deps: SplitPodDependencies) {
    this.deps = deps;
    this.memories = new Memories(deps);
    this.unshown = new MissingSince(deps.clock);
  }

  async reconcile(key: SplitKey): Promise<Outcome> {
    const { world, clock, reporter, addresses } = this.deps;
    const { primary, siblings } = world.piecesOf(key);
    const claimed = world.blockOf(key) !== undefined;
    if (primary === undefined && siblings.length === 0 && !claimed) {
      this.memories.forget(key);
      this.unshown.forget(key);
      return done;
    }
    const memory = this.memories.look(key, primary, siblings);
    if (primary === undefined || !isGated(primary)) memory.obstacle = undefined;
    const plan = primary === undefined ? undefined : planOf(primary, this.deps.options);
    const { policies, via, resolvers } = await this.policiesOf(primary, plan);
    const news =
      primary === undefined || plan === undefined || policies === undefined
        ? new Map<string, Annotations>()
        : newsOf({
            primary,
            siblings,
            plan,
            network: world.networks.store.get(plan.network),
            addresses: addresses.addressesOf(primary),
            policies,
            resolvers,
          });
    const seen: Observed = {
      primary,
      siblings,
      claimed,
      expected: expectedOf(primary, plan),
      told: [...news].every(([container, wanted]) => carries(pieceOf(container, primary, siblings), wanted)),
      ...this.memories.timesOf(memory),
    };
    if (primary !== undefined) await this.carryLabels(primary, siblings);
    const step = nextStep(seen, clock.now());
    // Where the cluster's DNS is nobody tells when it is known.
    const taken = await this.take(step, seen, { key, plan, news, memory });
    const outcome = resolvers === undefined ? sooner(taken, { kind: 'requeue', afterMs: dnsUnknown.retryMs }) : taken;
    const shown = await this.show(key, primary, plan);
    if (primary !== undefined) {
      const report: Report = {
        seen,
        primary,
        step,
        obstacle: memory.obstacle,
        addresses: addresses.addressesOf(primary),
        observe: plan?.observe === true,
        via,
        flows: plan === undefined || policies === undefined ? undefined : toldFlows(plan, policies),
      };
      const wait = memory.toldAt + progressMs(this.deps.waiting()) - clock.monotonic();
      if (wait > 0 && reporter.isProgress(report)) {
        return sooner(outcome, { kind: 'requeue', afterMs: Math.min(wait, progressLookMs) });
      }
      memory.toldAt = clock.monotonic();
      await reporter.report(report);
    }
    return sooner(outcome, shown);
  }

  /** Somebody deleted what shows the Pod: it is made again. */
  private async show(key: SplitKey, primary: LivePod | undefined, plan: Plan | undefined): Promise<Outcome> {
    const living = primary !== undefined && plan !== undefined && !isGated(primary) && !isDeleting(primary);
    const missing = living && this.deps.world.podSplits.store.byIndex('split', key).length === 0;
    const wait = this.unshown.wait(key, missing);
    if (wait > 0) return { kind: 'requeue', afterMs: wait };
    if (!missing) return done;
    const { client } = this.deps;
    const workload = await workloadOf(client, primary);
    const nad = nadName(workload, plan.install);
    await createOrFind(client, resources.podSplits, podSplitOf(primary, plan, workload, nad));
    return done;
  }

  private async policiesOf(primary: LivePod | undefined, plan: Plan | undefined): Promise<PoliciesFound> {
    if (primary === undefined || plan === undefined) return { policies: undefined, via: undefined, resolvers: [] };
    const policies = policed(splitSubject(primary.raw, plan), this.deps.world);
    const via = policedVia(plan, policies);
    const resolvers = await this.deps.clusterDns.resolversOf(via);
    // A Pod of mode init is told of no policy (decision 6): only what it was made with holds.
    const holds = plan.install === 'init' ? annotatedVia(plan.via) : via;
    return { policies, via: policies.kind === 'pending' ? undefined : holds, resolvers };
  }

  private async take(step: Step, seen: Observed, context: StepContext): Promise<Outcome> {
    const { primary, siblings } = seen;
    switch (step.kind) {
      case 'wire':
        return primary === undefined ? done : this.wire(primary, context.memory);
      case 'end-siblings':
        await this.end(step.siblings, step.graceSeconds);
        return done;
      case 'release':
        return this.release(context.key);
      case 'lift-siblings':
        return primary === undefined ? done : this.lift(primary, siblings, step.siblings);
      case 'say-started':
        if (primary !== undefined)
          await this.annotate(primary, { [ownAnnotations.started]: step.text, ...this.nudged() });
        return done;
      case 'tell':
        await this.tell(primary, siblings, context.news);
        return done;
      case 'nudge':
        await this.nudge(step.pieces);
        return done;
      case 'replace':
        if (primary === undefined) return done;
        if (step.reason === 'PieceDoesNotFit') await this.deps.moves.record(primary, context.plan, step.message);
        await this.replace(primary, step);
        return done;
      case 'settle':
      case 'look-again':
        return { kind: 'requeue', afterMs: step.forMs };
      case 'stuck':
      case 'report':
        return done;
    }
  }

  private async wire(primary: LivePod, memory: Memory): Promise<Outcome> {
    const wired = await wire(primary, this.deps);
    if (wired.kind === 'wired') {
      memory.obstacle = undefined;
      this.deps.reporter.wired(primary);
      return done;
    }
    memory.obstacle = wired;
    return wired.retryMs === undefined ? done : { kind: 'requeue', afterMs: wired.retryMs };
  }

  private async end(siblings: readonly LivePod[], graceSeconds: number | undefined): Promise<void> {
    for (const sibling of siblings) {
      const own = sibling.raw.spec?.terminationGracePeriodSeconds ?? 30;
      // A gated Pod has no processes to be graceful with.
      const gracePeriodSeconds = isGated(sibling) ? 0 : Math.min(own, graceSeconds ?? own);
      await this.deletePod(sibling, gracePeriodSeconds);
    }
  }

  private async deletePod(pod: LivePod, gracePeriodSeconds?: number): Promise<void> {
    try {
      await this.deps.client.delete(resources.pods, pod, {
        preconditions: { uid: pod.uid },
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      });
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  private async release(key: SplitKey): Promise<Outcome> {
    const released = await this.deps.addresses.release(key);
    if (released) return done;
    return { kind: 'requeue', afterMs: 1000 };
  }

  private async lift(primary: LivePod, all: readonly LivePod[], siblings: readonly LivePod[]): Promise<Outcome> {
    // The claim is read live, after the siblings were made and before any of them may start.
    const held = await this.deps.addresses.held(primary);
    const node = installOf(primary) === 'node';
    if (held === undefined) return { kind: 'requeue', afterMs: 1000 };
    for (const sibling of siblings) {
      if (carriedEndpoint(sibling.raw)?.mac !== held[sibling.container]?.mac) {
        await this.deletePod(sibling, 0);
        continue;
      }
      const body = {
        metadata: {
          uid: sibling.uid,
          resourceVersion: sibling.raw.metadata?.resourceVersion,
          // In mode `node` nothing holds the sibling back from here on: what its environment reads is there with it.
          ...(node && readsPodIP(sibling) ? { annotations: podIPAnnotations(podIPs(primary)) } : {}),
        },
        spec: { schedulingGates: null },
      };
      await this.deps.client.patch(resources.pods, sibling, { type: 'merge', body });
    }
    const last = all.every((sibling) => !isGated(sibling) || siblings.includes(sibling));
    if (node && last) this.sayReleased(primary);
    return done;
  }

  private async carryLabels(primary: LivePod, siblings: readonly LivePod[]): Promise<void> {
    for (const sibling of siblings) {
      const labels = labelNews(primary, sibling);
      if (Object.keys(labels).length === 0) continue;
      const body = { metadata: { uid: sibling.uid, labels } };
      await this.deps.client.patch(resources.pods, sibling, { type: 'merge', body });
    }
  }

  private async tell(
    primary: LivePod | undefined,
    siblings: readonly LivePod[],
    news: ReadonlyMap<string, Annotations>,
  ): Promise<void> {
    if (primary === undefined) return;
    const init = installOf(primary) === 'init';
    const wasHeld = init && loadedRules(primary) === undefined;
    for (const piece of [primary, ...siblings]) {
      const wanted = news.get(piece.container);
      if (wanted === undefined || carries(piece, wanted)) continue;
      // The kubelet hears of it by this very change: the first nudge has time until it is overdue.
      await this.annotate(piece, init ? { ...wanted, ...this.nudged() } : wanted);
    }
    if (wasHeld) this.sayReleased(primary);
  }

  /** Any change of an annotation makes the kubelet look at the volumes of a Pod again. */
  private async nudge(pieces: readonly LivePod[]): Promise<void> {
    for (const piece of pieces) await this.annotate(piece, this.nudged());
  }

  private nudged(): Annotations {
    return { [ownAnnotations.nudged]: new Date(this.deps.clock.now()).toISOString() };
  }

  private async annotate(piece: LivePod, annotations: Annotations): Promise<void> {
    const body = { metadata: { uid: piece.uid, annotations } };
    await this.deps.client.patch(resources.pods, piece, { type: 'merge', body });
  }

  private sayReleased(primary: LivePod): void {
    const seconds = ageSeconds(primary.raw.metadata?.creationTimestamp, this.deps.clock.now());
    if (seconds !== undefined) this.deps.released?.(seconds);
  }

  private async replace(primary: LivePod, { reason, message }: ReplaceStep): Promise<void> {
    this.deps.reporter.event(primary, 'Warning', reason, message);
    await this.deps.reporter.disrupted(primary, reason, message);
    await this.deletePod(primary);
  }
}

/** A Pod that another version understood lives on as it was wired, and none of its pieces may be missing. */
function expectedOf(primary: LivePod | undefined, plan: Plan | undefined): readonly string[] {
  if (plan !== undefined) return plan.siblings.map((piece) => piece.name);
  return primary === undefined ? [] : wiredPeers(primary);
}

/** Where they can change on a Pod that runs, and are known. */
function toldFlows(plan: Plan, policies: Policed): readonly string[] | undefined {
  if (plan.install !== 'node' || policies.kind === 'pending') return undefined;
  return policedWiring(plan, policies).flows.map(formatFlow);
}

interface PoliciesFound {
  readonly policies: Policed | undefined;
  /** Undefined as long as nobody can tell. */
  readonly via: readonly ResolvedVia[] | undefined;
  /** Undefined where a piece needs them and nobody can tell. */
  readonly resolvers: readonly string[] | undefined;
}

type ReplaceStep = Extract<Step, { kind: 'replace' }>;

interface StepContext {
  readonly key: SplitKey;
  readonly plan: Plan | undefined;
  readonly news: ReadonlyMap<string, Annotations>;
  readonly memory: Memory;
}

function pieceOf(container: string, primary: LivePod | undefined, siblings: readonly LivePod[]): LivePod | undefined {
  return primary?.container === container ? primary : siblings.find((sibling) => sibling.container === container);
}
