import { expect } from 'chai';
import { silentLogger } from '../observability/log.ts';
import type { KubeClient } from './client.ts';
import { ApiError, type ApiErrorCode } from './errors.ts';
import { FakeClock } from './fake-clock.ts';
import { LeaderElector } from './leader.ts';
import type { Lease } from './resources.ts';

/** One Lease behind compare-and-swap, as the API server keeps it; e2e/kube has the real one. */
class LeaseStore {
  lease: Lease | undefined;
  private version = 0;

  write(lease: Lease): Lease {
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.version) } };
    return this.lease;
  }

  /** How one replica reaches it: `mode` says what happens to its requests. */
  link(): Link {
    return new Link(this);
  }
}

type Mode = 'ok' | 'cut' | 'hang' | 'answers-lost';

class Link {
  mode: Mode = 'ok';
  private readonly store: LeaseStore;

  constructor(store: LeaseStore) {
    this.store = store;
  }

  client(): Pick<KubeClient, 'get' | 'create' | 'replace'> {
    return {
      get: () => this.call(() => this.store.lease ?? this.fail('NotFound', 404)),
      create: (_resource: unknown, lease: unknown) =>
        this.call(() =>
          this.store.lease === undefined ? this.store.write(lease as Lease) : this.fail('AlreadyExists', 409),
        ),
      replace: (_resource: unknown, lease: unknown) =>
        this.call(() => {
          const wanted = (lease as Lease).metadata.resourceVersion;
          if (this.store.lease?.metadata.resourceVersion !== wanted) this.fail('Conflict', 409);
          return this.store.write(lease as Lease);
        }),
    } as unknown as Pick<KubeClient, 'get' | 'create' | 'replace'>;
  }

  private async call(request: () => Lease): Promise<Lease> {
    await Promise.resolve();
    if (this.mode === 'cut') this.fail('Unreachable', 0);
    if (this.mode === 'hang') return new Promise(() => undefined);
    const answer = request();
    if (this.mode === 'answers-lost') this.fail('Timeout', 0);
    return answer;
  }

  private fail(code: ApiErrorCode, status: number): never {
    throw new ApiError({ code, status, message: code, path: 'lease', maybeHappened: status === 0 });
  }
}

class Replica {
  readonly link: Link;
  readonly elector: LeaderElector;
  readonly log: string[] = [];
  signal: AbortSignal | undefined;

  constructor(name: string, store: LeaseStore, clock: FakeClock) {
    this.link = store.link();
    this.elector = new LeaderElector({
      client: this.link.client(),
      namespace: 'podsplit-system',
      name: 'podsplit',
      identity: name,
      clock,
      log: silentLogger,
      random: () => 0,
      onStarted: (signal) => {
        this.signal = signal;
        this.log.push(`started ${clock.monotonic()}`);
      },
      onLost: () => this.log.push(`lost ${clock.monotonic()}`),
    });
  }
}

interface World {
  readonly a: Replica;
  readonly b: Replica;
  readonly clock: FakeClock;
  readonly store: LeaseStore;
}

/** Runs in seconds of fake time. A leads first; B starts half a second later. */
const cases: readonly {
  readonly name: string;
  readonly run: (world: World) => Promise<void>;
  readonly a: readonly string[];
  readonly b: readonly string[];
}[] = [
  {
    name: 'the first leads, the second waits',
    run: ({ clock }) => clock.advance(120_000),
    a: ['started 0'],
    b: [],
  },
  {
    name: 'a released lease is taken at the next try, not when it would have expired',
    run: async ({ a, clock }) => {
      await clock.advance(10_000);
      await a.elector.stop();
      await clock.advance(5_000);
    },
    a: ['started 0'],
    b: ['started 12500'],
  },
  {
    name: 'a leader that is cut off stops before another starts',
    run: async ({ a, clock }) => {
      await clock.advance(10_000);
      a.link.mode = 'cut';
      await clock.advance(60_000);
    },
    // Renewed last at 10 s: 10 s until it stops; B saw that renewal at 10.5 s and waits 15 s.
    a: ['started 0', 'lost 20000'],
    b: ['started 26500'],
  },
  {
    name: 'a request that hangs does not keep a leader leading',
    run: async ({ a, clock }) => {
      await clock.advance(10_000);
      a.link.mode = 'hang';
      await clock.advance(60_000);
    },
    a: ['started 0', 'lost 20000'],
    b: ['started 26500'],
  },
  {
    name: 'writes of which the answers are lost count as not written, and the lease is found again',
    run: async ({ a, clock }) => {
      await clock.advance(10_000);
      a.link.mode = 'answers-lost';
      await clock.advance(4_000);
      a.link.mode = 'ok';
      await clock.advance(60_000);
    },
    a: ['started 0'],
    b: [],
  },
  {
    name: 'somebody who takes the lease by hand ends the leadership at the next renewal',
    run: async ({ a, clock, store }) => {
      await clock.advance(10_500);
      store.write({ ...store.lease!, spec: { ...store.lease!.spec, holderIdentity: 'kubectl edit' } });
      a.link.mode = 'ok';
      await clock.advance(2_000);
    },
    a: ['started 0', 'lost 12000'],
    b: [],
  },
  {
    name: "a lease whose times lie in the future is judged by when it changed, not by its holder's clock",
    run: async ({ a, clock, store }) => {
      await clock.advance(10_500);
      a.link.mode = 'cut';
      const spec = { ...store.lease!.spec, holderIdentity: 'gone', renewTime: '2099-01-01T00:00:00.000000Z' };
      store.write({ ...store.lease!, spec });
      await clock.advance(20_000);
    },
    a: ['started 0', 'lost 20000'],
    b: ['started 28500'],
  },
  {
    name: 'clocks that are set forward or back, or differ by hours, change no leader',
    run: async ({ clock }) => {
      for (const hours of [1, -1, -2, 24, -24]) {
        await clock.advance(10_500);
        clock.jump(hours * 3_600_000);
      }
      await clock.advance(60_000);
    },
    a: ['started 0'],
    b: [],
  },
  {
    name: 'a leader that is cut off is followed when it should be, though the clocks are set back an hour',
    run: async ({ a, clock }) => {
      await clock.advance(10_000);
      a.link.mode = 'cut';
      clock.jump(-3_600_000);
      await clock.advance(60_000);
    },
    a: ['started 0', 'lost 20000'],
    b: ['started 26500'],
  },
  {
    name: 'a deleted lease is made anew by whoever comes first',
    run: async ({ clock, store }) => {
      await clock.advance(10_500);
      store.lease = undefined;
      await clock.advance(10_000);
    },
    a: ['started 0'],
    b: [],
  },
];

describe('LeaderElector', () => {
  for (const { name, run, a: wantedA, b: wantedB } of cases) {
    it(name, async () => {
      const clock = new FakeClock();
      const store = new LeaseStore();
      const a = new Replica('a', store, clock);
      const b = new Replica('b', store, clock);
      a.elector.start();
      await clock.advance(500);
      b.elector.start();
      await run({ a, b, clock, store });
      expect(a.log, 'a').to.deep.equal(wantedA);
      expect(b.log, 'b').to.deep.equal(wantedB);
      expect(a.elector.isLeading() && b.elector.isLeading(), 'two leaders').to.equal(false);
      const lost = wantedA.some((entry) => entry.startsWith('lost'));
      if (lost) expect(a.signal?.aborted).to.equal(true);
    });
  }

  it('never has two leaders, at any moment of random cuts', async () => {
    const clock = new FakeClock();
    const store = new LeaseStore();
    const replicas = ['a', 'b', 'c'].map((name) => new Replica(name, store, clock));
    for (const replica of replicas) replica.elector.start();
    const modes: readonly Mode[] = ['ok', 'ok', 'ok', 'cut', 'answers-lost'];
    let seed = 42;
    const next = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
    for (let step = 0; step < 3000; step++) {
      await clock.advance(next(1500));
      if (next(10) === 0) replicas[next(3)]!.link.mode = modes[next(modes.length)]!;
      const leading = replicas.filter((replica) => replica.elector.isLeading());
      expect(leading.length, `step ${step}`).to.be.at.most(1);
    }
    expect(replicas.flatMap((replica) => replica.log).filter((entry) => entry.startsWith('started'))).length.above(3);
  });

  it('gives up the lease when its work fails', async () => {
    const clock = new FakeClock();
    const lost: string[] = [];
    const elector = new LeaderElector({
      client: new LeaseStore().link().client(),
      namespace: 'podsplit-system',
      name: 'podsplit',
      identity: 'a',
      clock,
      log: silentLogger,
      onStarted: () => {
        throw new Error('no CRDs');
      },
      onLost: (reason) => lost.push(reason),
    });
    elector.start();
    await clock.advance(100);
    expect(elector.isLeading()).to.equal(false);
    expect(lost).to.deep.equal(['the work failed']);
    await elector.stop();
  });

  it('waits for the work to end before it releases the lease', async () => {
    const clock = new FakeClock();
    const store = new LeaseStore();
    let finish = (): void => undefined;
    const elector = new LeaderElector({
      client: store.link().client(),
      namespace: 'podsplit-system',
      name: 'podsplit',
      identity: 'a',
      clock,
      log: silentLogger,
      onStarted: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
      onLost: () => undefined,
    });
    elector.start();
    await clock.advance(100);
    const stopping = elector.stop();
    await clock.advance(100);
    expect(store.lease?.spec?.holderIdentity).to.equal('a');
    finish();
    await stopping;
    expect(store.lease?.spec?.holderIdentity).to.equal('');
    expect(elector.isLeading()).to.equal(false);
  });
});
