// The controller is killed between any two of its API calls, and a new one goes on; or its clock is set there. No address leaks,
// none is given twice, nothing waits for the clock to catch up, and nothing stays behind. On a control plane with simulated nodes, so that a life takes seconds.
//
// By default a sample of the calls is tried, by a seed that is printed; PODSPLIT_SWEEP=all tries every one.

import { expect } from 'chai';
import { startSimulatedCluster, type SimulatedCluster } from '../hack/simulation/cluster.ts';
import { installPodsplit } from '../hack/simulation/podsplit.ts';
import { Sweep, type Fault, type Outcome } from './support/sweep.ts';

const { PODSPLIT_SWEEP: amount = '7', PODSPLIT_SWEEP_SEED: seed = String(Date.now() % 1_000_000) } = process.env;
const hourMs = 3_600_000;
/** Calls of one run differ a little from those of the next: what the caches knew when decides about some. */
const beyond = 3;

const faults: readonly { readonly title: string; readonly fault: Fault; readonly share?: number }[] = [
  { title: 'is killed before a call arrives', fault: { side: 'before', dies: true } },
  { title: 'is killed after a call was done, before it hears so', fault: { side: 'after', dies: true } },
  { title: 'lives, and never hears that a call was done', fault: { side: 'after', dies: false } },
  {
    title: 'has its clock set an hour forward at a call',
    fault: { side: 'none', dies: false, clockMs: hourMs },
    share: 0.3,
  },
  { title: 'has its clock set two hours back', fault: { side: 'none', dies: false, clockMs: -2 * hourMs }, share: 0.3 },
];

describe('a controller that', function () {
  this.timeout(3_600_000);

  let cluster: SimulatedCluster;
  let sweep: Sweep;
  let whole: Outcome;
  let failed = false;

  before(async () => {
    cluster = await startSimulatedCluster({ nodes: 2 });
    sweep = await Sweep.start(cluster, await installPodsplit(cluster));
    whole = await sweep.run();
    await sweep.leftovers([whole]);
    console.log(`      ${whole.calls.length} calls, seed ${seed}`);
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    await sweep.stop();
    await cluster.stop(failed);
    if (failed) console.log(`      the logs are in ${cluster.folder}`);
  });

  it('takes nothing away from a Pod that is being wired', () => {
    const made = whole.calls.findLastIndex((call) => /^POST .*\/pods /.test(call));
    expect(made).to.be.above(-1);
    const taken = /^DELETE .*\/(networkpolicies|network-attachment-definitions)\//;
    expect(whole.calls.slice(0, made).filter((call) => taken.test(call))).to.deep.equal([]);
  });

  for (const [index, { title, fault, share = 1 }] of faults.entries()) {
    it(`${title} loses and doubles nothing`, async () => {
      const outcomes: Outcome[] = [];
      const failures: string[] = [];
      for (const at of sample(whole.calls.length + beyond, index, share)) {
        try {
          outcomes.push(await sweep.run({ ...fault, at }));
        } catch (error) {
          failures.push(`cut at call ${at}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
      await sweep.leftovers(outcomes);
      expect(failures).to.deep.equal([]);
      expect(outcomes.some(({ cut }) => cut !== undefined)).to.equal(true);
    });
  }
});

/**
 * Numbers from 1 to `count`: all, or that share of as many as are wanted, spread evenly from where the seed says. A share is
 * never of one: that may lie beyond the last call of its run.
 */
function sample(count: number, salt: number, share: number): readonly number[] {
  const all = Array.from({ length: count }, (_, index) => index + 1);
  if (amount === 'all') return all;
  const length = Math.max(2, Math.ceil(Number(amount) * share));
  const step = count / length;
  const first = ((Number(seed) * 7919 + salt * 104_729) % 1000) / 1000;
  return Array.from({ length }, (_, index) => Math.floor((index + first) * step) + 1);
}
