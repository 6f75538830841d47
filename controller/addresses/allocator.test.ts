import { expect } from 'chai';
import fc from 'fast-check';
import type { AddressBlock } from '../api/resources.ts';
import { claimOf, isEmpty } from './block.ts';
import { claim, release, type PieceLookup, type ReleaseRequest, type ReleaseResult } from './allocator.ts';
import { ModelCluster, type ModelState } from './model/cluster.ts';
import {
  containers,
  network,
  reconcile,
  soundProtocol,
  workloadRef,
  type ModelController,
  type Protocol,
} from './model/controller.ts';
import { ModelNetwork, type Fate } from './model/network.ts';
import { poolOf, type Pool } from './pool.ts';
import type { BlockStore } from './store.ts';

/** Two blocks of 8: with two workloads of three Pods of two pieces each, old and new Pods fill it up. */
const pool = parsedPool('198.18.0.0/28');
const actors = ['a', 'b', 'c'] as const;
const largestWorld = { workloads: 2, podsOfEach: 3 };

describe('the allocator protocol, against crashes, lost answers, late writes, old caches and two leaders', () => {
  it('never gives an address to two live pieces, and leaks none', async function () {
    this.timeout(120_000);
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(tape(), async (choices) => {
        const world = new World(soundProtocol, seen);
        await world.play(choices);
        await world.settle();
      }),
      { numRuns: 300 },
    );
    // The walk went where it is dangerous, or the property says nothing.
    for (const event of ['claimed', 'exhausted', 'releasing', 'released', 'siblings-left', 'lifted', 'late-lift']) {
      expect(seen.get(event) ?? 0, `times "${event}"`).to.be.greaterThan(0);
    }
  });

  /**
   * Each drops one part of the protocol: the property above is worth something only if it fails for all of them. The seed
   * is fixed, so that a walk that finds it stays found.
   */
  const mutants: Readonly<Record<string, Protocol>> = {
    'a release in one phase': { ...soundProtocol, release: releaseInOnePhase },
    'a gate lifted without reading the claim': { ...soundProtocol, mayLift: () => Promise.resolve(true) },
    'a release that looks for siblings in its cache': { ...soundProtocol, lookup: 'cached' },
    'a release that does not ask for the primary': {
      ...soundProtocol,
      release: (store, pieces, request) =>
        release(store, { ...pieces, primaryExists: () => Promise.resolve(false) }, request),
    },
    'a release that removes without compare-and-swap': { ...soundProtocol, release: releaseWithoutSwap },
  };

  for (const [name, mutant] of Object.entries(mutants)) {
    it(`sees ${name}`, async function () {
      this.timeout(120_000);
      const property = fc.asyncProperty(tape(), async (choices) => {
        const world = new World(mutant, new Map());
        await world.play(choices);
        await world.settle();
      });
      const { failed } = await fc.check(property, { numRuns: 5000, endOnFailure: true, seed: 5 });
      expect(failed, 'the mutant was caught').to.equal(true);
    });
  }
});

describe('claims of several Pods at once', () => {
  /** Blocks of 8 addresses have room for 7: three Pods of two. */
  function harness(pool: Pool) {
    const cluster = new ModelCluster();
    const writes: string[] = [];
    const store: BlockStore = {
      list: () => Promise.resolve([...cluster.blocks.values()]),
      get: (name) => Promise.resolve(cluster.blocks.get(name)),
      create: (block) => {
        writes.push('create');
        return Promise.resolve(cluster.createBlock(block));
      },
      replace: (block) => {
        writes.push('replace');
        return Promise.resolve(cluster.replaceBlock(block));
      },
      delete: (block) => Promise.resolve(cluster.deleteBlock(block)),
    };
    const claimFor = (...uids: readonly string[]) =>
      claim(store, {
        network: { name: network, pool },
        workload: workloadRef(0),
        pods: uids.map((uid) => ({ pod: { name: uid, uid }, containers })),
      });
    return { cluster, writes, claimFor };
  }

  it('are one write for all that a block has room for, and one more for each further block', async () => {
    const { cluster, writes, claimFor } = harness(pool);
    const first = await claimFor('a', 'b');
    expect(first.map(({ kind }) => kind)).to.deep.equal(['claimed', 'claimed']);
    expect(writes).to.deep.equal(['create']);
    const rest = await claimFor('c', 'd', 'e');
    expect(rest.map(({ kind }) => kind)).to.deep.equal(['claimed', 'claimed', 'claimed']);
    expect(writes).to.deep.equal(['create', 'replace', 'create']);
    const blocks = [...cluster.blocks.values()];
    expect(blocks.flatMap(({ spec }) => spec.claims.map((one) => one.pod.uid)).toSorted()).to.deep.equal([
      'a',
      'b',
      'c',
      'd',
      'e',
    ]);
    for (const { spec } of blocks) {
      const offsets = spec.claims.flatMap((one) => Object.values(one.offsets));
      expect(new Set(offsets).size).to.equal(offsets.length);
    }
  });

  it('say of each Pod what became of it: what is there already needs no write, and who finds no room waits alone', async () => {
    const { writes, claimFor } = harness(pool);
    const [before] = await claimFor('a');
    const all = await claimFor('b', 'a', 'c', 'd', 'e', 'f', 'g');
    expect(all.map(({ kind }) => kind)).to.deep.equal([...Array<string>(6).fill('claimed'), 'exhausted']);
    expect(all[1]).to.deep.equal(before);
    const count = writes.length;
    expect(await claimFor('c', 'a')).to.deep.equal([all[2], before]);
    expect(writes.length).to.equal(count);
  });
});

/** What to do next, at each step: shrinks to the shortest story that goes wrong. */
function tape() {
  return fc.noBias(fc.array(fc.nat({ max: 9999 }), { minLength: 600, maxLength: 1200 }));
}

/** The claim is not latched, so a sibling's gate may be lifted between the look and the removal. */
async function releaseInOnePhase(store: BlockStore, pieces: PieceLookup, request: ReleaseRequest) {
  return releaseAtOnce(store, pieces, request, (block) => block);
}

/** As if PUT had no resourceVersion: what was claimed since is overwritten. */
async function releaseWithoutSwap(store: BlockStore, pieces: PieceLookup, request: ReleaseRequest) {
  const latest = async (block: AddressBlock) => {
    const current = await store.get(block.metadata.name);
    return { ...block, metadata: { ...block.metadata, resourceVersion: current?.metadata.resourceVersion ?? '' } };
  };
  return releaseAtOnce(store, pieces, request, latest);
}

async function releaseAtOnce(
  store: BlockStore,
  pieces: PieceLookup,
  request: ReleaseRequest,
  versioned: (block: AddressBlock) => AddressBlock | Promise<AddressBlock>,
): Promise<readonly ReleaseResult[]> {
  const [uid = ''] = request.pods;
  const all = await Promise.all(request.blocks.map((name) => store.get(name)));
  const blocks = all.filter((block) => block !== undefined).filter(({ spec }) => claimOf(spec, uid) !== undefined);
  const [found] = blocks.map(({ spec }) => claimOf(spec, uid)?.pod);
  if (found === undefined) return [{ kind: 'released' }];
  if (await pieces.primaryExists(found)) return [{ kind: 'alive' }];
  const siblings = await pieces.siblings(found, []);
  if (siblings.length > 0) return [{ kind: 'siblings-left', siblings }];
  for (const block of blocks) {
    const spec = { ...block.spec, claims: block.spec.claims.filter((one) => one.pod.uid !== uid) };
    const wanted = await versioned(block);
    await (isEmpty(spec) ? store.delete(wanted) : store.replace({ ...wanted, spec }));
  }
  return [{ kind: 'released' }];
}

/** Controllers that all believe they lead, the users, and the kubelets. */
class World {
  private readonly cluster = new ModelCluster();
  private readonly network = new ModelNetwork();
  private readonly busy = new Set<string>();
  private readonly protocol: Protocol;
  private readonly seen: Map<string, number>;
  private choices: readonly number[] = [];
  private position = 0;
  private workloads = 1;
  private podsOfEach = 1;
  /** Caches whose watch is stuck: what they show is from then. */
  private readonly stuck = new Map<string, ModelState>();
  private failure: Error | undefined;

  constructor(protocol: Protocol, seen: Map<string, number>) {
    this.protocol = protocol;
    this.seen = seen;
    this.cluster.remember();
  }

  async play(choices: readonly number[]): Promise<void> {
    this.choices = choices;
    this.workloads = 1 + (this.next() % largestWorld.workloads);
    this.podsOfEach = 1 + (this.next() % largestWorld.podsOfEach);
    if (this.next() % 2 === 0) await this.beginAtTheEndOfAPod();
    while (this.position < choices.length) {
      this.act();
      await this.check();
    }
  }

  /** All is over: what was on its way arrives or is lost, and one healthy controller with fresh caches works on. */
  async settle(): Promise<void> {
    this.network.stall(undefined);
    this.network.arriveAll();
    for (const actor of actors) this.crash(actor);
    await this.workToTheEnd();
    const live = this.primaries();
    const claimed = new Set(this.claimedUids());
    expect(
      [...claimed].filter((uid) => !live.has(uid)),
      'claims without a Pod',
    ).to.deep.equal([]);
    const stuck = [...this.cluster.pods.values()].filter((pod) => pod.gated && claimed.has(pod.uid));
    expect(stuck, 'Pods that have addresses and do not start').to.deep.equal([]);
    const waiting = [...live].filter((uid) => !claimed.has(uid));
    if (waiting.length > 0) expect(this.cluster.blocks.size, 'blocks while Pods wait').to.equal(2);

    // An exhausted pool heals when Pods go.
    const keep = waiting[0] ?? [...live][0];
    for (const pod of [...this.cluster.pods.values()]) if (pod.split !== keep) this.cluster.pods.delete(pod.name);
    await this.workToTheEnd();
    expect([...new Set(this.claimedUids())]).to.deep.equal(keep === undefined ? [] : [keep]);

    this.cluster.pods.clear();
    await this.workToTheEnd();
    expect([...this.cluster.blocks.keys()], 'blocks of nobody').to.deep.equal([]);
  }

  private async workToTheEnd(): Promise<void> {
    const healthy: ModelController = {
      ...this.controller('healthy'),
      view: () => this.cluster,
      siblingsView: () => this.cluster,
      batched: () => true,
    };
    for (let round = 0; round < 8; round++) {
      for (const split of new Set([...this.cluster.pods.values()].map((pod) => pod.split).concat(this.claimedUids()))) {
        this.begin(healthy, split);
        while (this.busy.has(healthy.name)) {
          await this.check();
          if (this.network.size > 0) this.network.step(0, 'answered');
        }
      }
      for (const pod of [...this.cluster.pods.values()]) if (pod.deleting) this.cluster.pods.delete(pod.name);
    }
  }

  private act(): void {
    const choice = this.next() % 100;
    if (choice < 8) this.createPrimary();
    else if (choice < 14) this.deleteSomePod();
    else if (choice < 22) this.kubeletFinishes();
    else if (choice < 24) this.network.arrive(this.next());
    else if (choice < 28) this.network.stall([undefined, ...actors][this.next() % (actors.length + 1)]);
    else if (choice < 33) this.stickOrFollow();
    else if (choice < 53 || this.network.size === 0) this.startReconcile();
    else this.answerOne();
  }

  /**
   * Where the walk seldom comes by itself: `b` is about to create the sibling of a Pod that has just gone, `c` believes
   * that the Pod is still there and that its siblings may start, and `a` is somewhere in its release.
   */
  private async beginAtTheEndOfAPod(): Promise<void> {
    const { cluster, network } = this;
    cluster.createPod({ name: 'w0-0', role: 'primary', workload: 0, address: undefined, gated: true });
    const uid = cluster.pods.get('w0-0')?.uid ?? '';
    while (cluster.pods.get('w0-0')?.gated === true) {
      const claimed = this.claimedUids().length > 0;
      if (claimed && !this.busy.has('b')) this.begin({ ...this.controller('b'), view: this.frozenView() }, uid);
      if (!this.busy.has('a')) this.begin({ ...this.controller('a'), view: () => cluster }, uid);
      network.stall('b');
      await this.check();
      network.step(0, 'answered');
    }
    this.stuck.set('c', this.frozenView()());
    cluster.deletePod('w0-0', uid);
    cluster.pods.delete('w0-0');
    this.begin({ ...this.controller('a'), view: () => cluster, siblingsView: () => cluster }, uid);
    for (let calls = this.next() % 8; calls > 0; calls--) {
      await this.check();
      network.step(0, 'answered');
    }
    network.stall(this.next() % 2 === 0 ? 'a' : undefined);
  }

  private frozenView(): () => ModelState {
    const { pods, blocks } = this.cluster;
    const frozen = { pods: new Map(pods), blocks: new Map(blocks) };
    return () => frozen;
  }

  private createPrimary(): void {
    const workload = this.next() % this.workloads;
    const name = `w${workload}-${this.next() % this.podsOfEach}`;
    this.cluster.createPod({ name, role: 'primary', workload, address: undefined, gated: true });
  }

  private deleteSomePod(): void {
    const pod = this.pickPod(() => true);
    if (pod !== undefined) this.cluster.deletePod(pod.name, pod.uid);
  }

  private kubeletFinishes(): void {
    const pod = this.pickPod((one) => one.deleting);
    if (pod !== undefined) this.cluster.pods.delete(pod.name);
  }

  private stickOrFollow(): void {
    const actor = this.someActor();
    const last = this.cluster.history.at(-1);
    if (this.stuck.delete(actor) || last === undefined) return;
    this.stuck.set(actor, last);
  }

  private startReconcile(): void {
    const actor = this.someActor();
    if (this.busy.has(actor)) return;
    const controller = this.controller(actor);
    const view = controller.view();
    const claims = [...view.blocks.values()].flatMap((block) => block.spec.claims.map((one) => one.pod.uid));
    const splits = [...new Set([...[...view.pods.values()].map((pod) => pod.split), ...claims])];
    const split = splits[this.next() % Math.max(1, splits.length)];
    if (split === undefined) return;
    this.begin(controller, split);
  }

  private begin(controller: ModelController, split: string): void {
    this.busy.add(controller.name);
    reconcile(controller, split).then(
      () => this.busy.delete(controller.name),
      (error: unknown) => (this.failure = error instanceof Error ? error : new Error(String(error))),
    );
  }

  private answerOne(): void {
    const crashed = this.network.step(this.next(), fateOf(this.next() % 100));
    if (crashed !== undefined) this.crash(crashed);
  }

  private crash(actor: string): void {
    this.network.forget(actor);
    this.busy.delete(actor);
  }

  private controller(name: string): ModelController {
    return {
      name,
      view: () => this.stuck.get(name) ?? this.someView(),
      siblingsView: () => this.someView(),
      batched: () => this.next() % 2 === 0,
      cluster: this.cluster,
      network: this.network,
      pool,
      protocol: this.protocol,
      seen: (event) => this.seen.set(event, (this.seen.get(event) ?? 0) + 1),
    };
  }

  /** Mostly of a moment ago, at times very old. */
  private someView(): ModelState {
    const { history } = this.cluster;
    const age = this.next() % (this.next() % 4 === 0 ? 80 : 2);
    return history[Math.max(0, history.length - 1 - age)] ?? this.cluster;
  }

  /** Lets everybody run up to the next call, then looks. */
  private async check(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.failure !== undefined) throw this.failure;
    this.cluster.remember();
    const violation = this.cluster.violation(pool);
    if (violation !== undefined) throw new Error(violation);
  }

  private someActor(): string {
    return actors[this.next() % actors.length] ?? 'a';
  }

  private pickPod(filter: (pod: { readonly deleting: boolean }) => boolean) {
    const pods = [...this.cluster.pods.values()].filter(filter);
    return pods[this.next() % Math.max(1, pods.length)];
  }

  private primaries(): Set<string> {
    return new Set([...this.cluster.pods.values()].filter((pod) => pod.role === 'primary').map((pod) => pod.uid));
  }

  private claimedUids(): string[] {
    return [...this.cluster.blocks.values()].flatMap((block) => block.spec.claims.map((one) => one.pod.uid));
  }

  private next(): number {
    const choice = this.choices[this.position] ?? 0;
    this.position += 1;
    return choice;
  }
}

function fateOf(choice: number): Fate {
  if (choice < 84) return 'answered';
  if (choice < 88) return 'lost';
  if (choice < 92) return 'late';
  if (choice < 94) return 'dropped';
  return choice < 97 ? 'crash-before' : 'crash-after';
}

function parsedPool(ipv4: string): Pool {
  const parsed = poolOf({ ipv4, blockSize: 8 });
  if (parsed.kind !== 'pool') throw new Error('the pool does not parse');
  return parsed.pool;
}
