import { nadName, shortHash, type WorkloadRef } from '../api/identity.ts';
import { isRecord, parseJson, record } from '../api/json.ts';
import { movesAnnotation } from '../api/names.ts';
import { timestamp } from '../api/timestamp.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type KubeObject, type NetworkAttachmentDefinition } from '../kube/resources.ts';
import { objectKey } from '../kube/store.ts';
import type { Plan } from '../split/plan.ts';
import { OwnWrites } from './own-writes.ts';
import { nodeOf, type LivePod } from './piece-pod.ts';
import type { Obstacle } from './wire.ts';
import { workloadOf } from './workload-of.ts';
import type { World } from './world.ts';

/** That Pods of these needs were moved, because a node had no room for all of their pieces. */
export interface Move {
  readonly count: number;
  /** In ms: no other Pod of the same needs is tried before. */
  readonly until: number;
  /** Where they did not fit, the latest first. */
  readonly nodes: readonly string[];
  /** The words of the last time. */
  readonly said: string;
}

/** By what a Pod of the workload needs: a rollout that asks for less is not held back for what was asked before. */
export type Moves = Readonly<Record<string, Move>>;

/** As the kubelet's CrashLoopBackOff. */
const firstHoldMs = 10_000;
const longestHoldMs = 300_000;
const forgetMs = 600_000;
/** The next Pod of a workload may come late: until then its network stays, which remembers. */
const keepMs = 60_000;
const maxNodes = 8;
const maxNeeds = 16;
const maxWords = 400;

export function holdMs(count: number): number {
  return Math.min(longestHoldMs, firstHoldMs * 2 ** (count - 1));
}

/** What decides where all pieces of a Pod can be: their requests, and the nodes that the Pod asks for. */
export function needsOf(plan: Plan, primary: Pick<LivePod, 'raw'>): string {
  const { nodeSelector, affinity } = primary.raw.spec ?? {};
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const pieces = [plan.primary, ...plan.siblings].map(({ name, container }) => [name, container.resources?.requests]);
  return shortHash(JSON.stringify([pieces, nodeSelector, required]), 8);
}

/** One more. Those of the same needs that move while the next is held back anyway count once. */
export function withMove(moves: Moves, needs: string, { node, said, now }: MoveInput): Moves {
  const before = moves[needs];
  const held = before !== undefined && now < before.until;
  const count = held ? before.count : (before?.count ?? 0) + 1;
  const move: Move = {
    count,
    until: held ? before.until : now + holdMs(count),
    nodes: [node, ...(before?.nodes ?? []).filter((name) => name !== node)].slice(0, maxNodes),
    said: said.slice(0, maxWords),
  };
  const others = Object.entries(moves).filter(([key]) => key !== needs);
  return { [needs]: move, ...Object.fromEntries(others.slice(0, maxNeeds - 1)) };
}

interface MoveInput {
  readonly node: string;
  readonly said: string;
  /** In ms. */
  readonly now: number;
}

/** What two leaders may tell of the same moment. */
const skewMs = 60_000;

/**
 * Those that still matter. What does not read was never written by podsplit, and holds nobody back; nor does a time that no hold
 * reaches: the clock was set back since it was written.
 */
export function movesOf(object: KubeObject | undefined, now: number): Moves {
  const text = object?.metadata.annotations?.[movesAnnotation];
  if (text === undefined) return {};
  return Object.fromEntries(
    Object.entries(record(parseJson(text))).flatMap(([needs, value]) => {
      const move = readMove(value);
      return move === undefined || isOver(move, now) ? [] : [[needs, move]];
    }),
  );
}

function isOver({ count, until }: Move, now: number): boolean {
  return until + forgetMs < now || until > now + holdMs(count) + skewMs;
}

export function formatMoves(moves: Moves): string {
  return JSON.stringify(
    Object.fromEntries(
      Object.entries(moves).map(([needs, move]) => [needs, { ...move, until: timestamp(move.until) }]),
    ),
  );
}

function readMove(value: unknown): Move | undefined {
  if (!isRecord(value)) return undefined;
  const { count, nodes, said } = value;
  const until = Date.parse(String(value['until']));
  if (typeof count !== 'number' || Number.isNaN(until) || !Array.isArray(nodes)) return undefined;
  return { count, until, nodes: nodes.map(String), said: String(said) };
}

/** In ms from now: for how long an object has to stay because it remembers moves; 0 where it need not. */
export function remembersFor(object: KubeObject, now: number): number {
  const untils = Object.values(movesOf(object, now)).map((move) => move.until + keepMs - now);
  return Math.max(0, ...untils);
}

export interface MoveBookDependencies {
  readonly client: Pick<KubeClient, 'get' | 'patch'>;
  readonly world: { readonly nads: { readonly store: Pick<World['nads']['store'], 'get'> } };
  readonly clock: Pick<Clock, 'now'>;
}

/**
 * Holds back Pods whose like did not fit, longer each time. It is written on the workload's NAD, which only the controller
 * writes, before the Pod is moved: whoever leads next knows it too.
 */
export class MoveBook {
  private readonly deps: MoveBookDependencies;
  /** The next Pod comes before the watch cache has it. */
  private readonly own = new OwnWrites<NetworkAttachmentDefinition>();

  constructor(deps: MoveBookDependencies) {
    this.deps = deps;
  }

  /** Before it is moved. Of a Pod that nobody can read as split there is nothing to remember. */
  async record(primary: LivePod, plan: Plan | undefined, said: string): Promise<void> {
    if (plan === undefined) return;
    const { client, clock, world } = this.deps;
    const now = clock.now();
    const node = nodeOf(primary) ?? '';
    const workload = await workloadOf(client, primary);
    const ref = { namespace: workload.namespace, name: nadName(workload, plan.install) };
    try {
      const nad = await client.get(resources.networkAttachmentDefinitions, ref);
      const moves = withMove(movesOf(nad, now), needsOf(plan, primary), { node, said, now });
      const { uid, resourceVersion } = nad.metadata;
      const annotations = { [movesAnnotation]: formatMoves(moves) };
      const body = { metadata: { uid, resourceVersion, annotations } };
      const written = await client.patch(resources.networkAttachmentDefinitions, ref, { type: 'merge', body });
      // What was read may be ahead of the cache as well.
      for (const one of [nad, written]) this.own.wrote(one, world.nads.store.get(objectKey(one)));
    } catch (error) {
      // The workload is going, and its network before its Pods.
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }

  /** Why a Pod of these needs has to wait yet. */
  held(workload: WorkloadRef, plan: Plan, primary: LivePod): Obstacle | undefined {
    const move = this.moveOf(workload, plan, primary);
    const retryMs = (move?.until ?? 0) - this.deps.clock.now();
    if (move === undefined || retryMs <= 0) return undefined;
    const times = move.count === 1 ? 'once' : `${move.count} times`;
    return {
      reason: 'PieceDoesNotFit',
      message: `A Pod like this one was moved ${times}. ${move.said} It is tried again at ${timestamp(move.until)}.`,
      retryMs,
    };
  }

  /** Where Pods of these needs did not fit lately. */
  nodesToAvoid(workload: WorkloadRef, plan: Plan, primary: LivePod): readonly string[] {
    return this.moveOf(workload, plan, primary)?.nodes ?? [];
  }

  private moveOf(workload: WorkloadRef, plan: Plan, primary: LivePod): Move | undefined {
    const key = `${workload.namespace}/${nadName(workload, plan.install)}`;
    const nad = this.own.newer(key, this.deps.world.nads.store.get(key));
    return movesOf(nad, this.deps.clock.now())[needsOf(plan, primary)];
  }
}
