// The unavoidable proxy by a ContainerNetworkPolicy: it comes, changes and goes while the agent of examples/agent runs.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { ContainerNetworkPolicySpec, EgressVia } from '../controller/api/container-network-policy.ts';
import { kubeconfig } from '../hack/kubectl.ts';
import { annotations, tasks } from '../examples/agent/tasks.ts';
import { AgentExample, triesAll, type Mode } from './support/agent-example.ts';
import { eventually } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, type Condition } from './support/objects.ts';
import { eventOf, podSplitOf, splitPods } from './support/pieces.ts';

const run = promisify(execFile);
const plugin = join(import.meta.dirname, '../bin/kubectl-podsplit');

const { 'podsplit.io/egress-via': _way, ...unkept } = annotations.kept;
const beaconPort = 5302;

for (const mode of ['split', 'isolate'] as const) describeMode(mode);

function describeMode(mode: Mode): void {
  describe(`in mode ${mode} an agent that a policy keeps behind its proxy, while it runs`, () => {
    /** Ways out that nothing but being kept ends: the rest of the tasks is about the proxy's side. */
    const waysOut = tasks.filter(
      ({ what, raw }) =>
        /^(dials|sends a datagram|hides|the same|asks (a resolver|it)|pings)/.test(what) &&
        (mode === 'split' || raw !== true),
    );
    let example: AgentExample;
    let namespace: TestNamespace;
    let uids: readonly string[];

    before(async () => {
      example = await AgentExample.start(`egress-policy-${mode}`, mode);
      ({ namespace } = example);
      await example.outside.listen('udp', '::', beaconPort, true);
      await example.become({ ...unkept, 'podsplit.io/mode': mode });
      uids = await podUids();
      const beacon = `while :; do echo beacon > /dev/udp/${example.host.ipv4}/${beaconPort}; sleep 0.05; done`;
      await example.told(`setsid bash -c '${beacon}' < /dev/null > /dev/null 2>&1 &`);
    });

    after(async () => {
      await TestNamespace.deleteAll();
      example.end();
    });

    describe('without the policy', () => {
      for (const task of waysOut) it(`works: ${task.what}`, () => expectTried(task.what, true));

      if (mode === 'split') {
        it('works: sends a frame around the rules of its network namespace', async () => {
          expect(await example.sendsFrame(5000)).to.equal(true);
        });
      }
    });

    describe('with the policy', () => {
      it('is cut off', async () => {
        expect(await beacons()).to.be.greaterThan(0);
        await keep('by-proxy', { container: 'proxy' });
        console.log(`      nothing came out any more after ${(await untilSilent()).toFixed(0)} ms`);
      });

      triesAll('kept', () => example, mode);

      if (mode === 'split') {
        it('fails: sends a frame around the rules of its network namespace', async () => {
          expect(await example.sendsFrame(500)).to.equal(false);
        });
      }

      it('says so in the status of the policy, and of the PodSplit', async () => {
        await eventually('the policy is enforced', async () => {
          const { status } = await policyStatus('by-proxy');
          expect(status?.compiled?.kept).to.equal(1);
          expect(status?.conditions?.map(({ type, status: is }) => `${type} ${is}`)).to.deep.equal([
            'Accepted True',
            'Enforced True',
          ]);
          expect(condition(await podSplitOf(namespace, example.pod.primary), 'EgressVia')).to.include({
            status: 'True',
            reason: 'Kept',
            message: 'agent goes out by proxy only (by-proxy).',
          });
        });
      });

      it('is explained by kubectl podsplit policy', async () => {
        expect(await explained()).to.contain('by proxy only (by-proxy)');
        const answer = await explained('--from', 'agent', '--to', '192.0.2.7:443').catch((error: unknown) =>
          String((error as { stdout?: string }).stdout),
        );
        expect(answer)
          .to.contain('denied: agent -> 192.0.2.7:443/tcp')
          .and.contain('It goes by proxy and by nothing else');
      });
    });

    describe('with a port', () => {
      it('is carried to it, names and all else end at the proxy too', async () => {
        await keep('by-proxy', { container: 'proxy', port: 3130, dns: 'cluster' });
        const direct = tasks.find(
          ({ what }) => what === 'calls the API as if there were no proxy, and the proxy adds the key',
        );
        await eventually('it is carried', () => expectTried(direct!.what, true));
        await expectTried('dials that host, and says that it is the allowed one', false);
        await expectTried('dials an IPv4 address', false);
        await expectTried('sends a datagram over IPv4', false);
        expect(await explained('--from', 'agent', '--to', '192.0.2.7:443')).to.contain('It goes by proxy:3130');
      });
    });

    describe('with two policies that contradict each other', () => {
      it('has no way out, not by flows either, and everybody says why', async () => {
        await keep('by-proxy', { container: 'proxy' });
        await eventually('its proxy serves it', () => expectTried('calls the API, and the proxy adds the key', true));
        await keep('by-another', { container: 'envoy' });
        await eventually('the conflict is said', async () => {
          for (const name of ['by-proxy', 'by-another']) {
            expect(condition(await policyStatus(name), 'Accepted')).to.include({
              status: 'False',
              reason: 'EgressViaConflict',
            });
          }
          expect(condition(await podSplitOf(namespace, example.pod.primary), 'EgressVia')).to.include({
            status: 'False',
            reason: 'EgressViaConflict',
          });
        });
        expect((await eventOf(namespace, 'EgressViaConflict', 'Pod')).message).to.contain('by-another says envoy');
        await expectTried('calls the API, and the proxy adds the key', false);
        for (const { what } of waysOut.slice(0, 4)) await expectTried(what, false);
      });

      it('nor where the Pod lacks the only one', async () => {
        await remove('by-proxy');
        await eventually('it is said', async () => {
          expect(condition(await policyStatus('by-another'), 'Accepted')?.reason).to.equal('EgressViaMissing');
        });
        await expectTried('dials an IPv4 address', false);
        await expectTried('sends a datagram over IPv4', false);
        await expectTried('calls the API, and the proxy adds the key', false);
      });
    });

    describe('when the policy is gone', () => {
      it('reaches the outside again', async () => {
        expect(await beacons()).to.equal(0);
        const seen = await seenBeacons();
        await remove('by-another');
        await eventually('a beacon', async () => {
          expect(await seenBeacons()).to.be.greaterThan(seen);
        });
      });

      for (const task of waysOut) it(`works: ${task.what}`, () => expectTried(task.what, true));

      if (mode === 'split') {
        it('works: sends a frame around the rules of its network namespace', async () => {
          expect(await example.sendsFrame(5000)).to.equal(true);
        });
      }

      it('has run all the time', async () => {
        expect(await podUids()).to.deep.equal(uids);
        await example.expectNoRestarts();
        await eventually('nothing is said of a way out', async () => {
          expect(condition(await podSplitOf(namespace, example.pod.primary), 'EgressVia')).to.equal(undefined);
        });
      });
    });

    for (const [what, spec, message] of [
      ['without containers', { containers: undefined }, 'egressVia needs containers'],
      ['among its own containers', { containers: ['agent', 'proxy'] }, 'would go out by itself'],
      ['that audits', { action: 'Audit' }, 'egressVia cannot be audited'],
      ['at no port', { egressVia: { container: 'proxy', port: 0 } }, 'spec.egressVia.port'],
    ] as const) {
      it(`is refused ${what}`, async () => {
        const object = policy('refused', { container: 'proxy' }, spec as Partial<ContainerNetworkPolicySpec>);
        const { status, output } = await namespace.dryRun(object);
        expect(status).not.to.equal(0);
        expect(output).to.contain(message);
      });
    }

    interface PolicyObject {
      readonly status?: {
        readonly compiled?: { readonly kept: number };
        readonly conditions?: readonly Condition[];
      };
    }

    function policyStatus(name: string): Promise<PolicyObject> {
      return namespace.get<PolicyObject>('containerNetworkPolicies', name);
    }

    function policy(name: string, egressVia: EgressVia, changed: Partial<ContainerNetworkPolicySpec> = {}): object {
      return {
        apiVersion: 'podsplit.io/v1alpha1',
        kind: 'ContainerNetworkPolicy',
        metadata: { name },
        spec: { podSelector: { matchLabels: { app: 'agent' } }, containers: ['agent'], egressVia, ...changed },
      };
    }

    function keep(name: string, egressVia: EgressVia): Promise<void> {
      return namespace.apply(policy(name, egressVia));
    }

    async function remove(name: string): Promise<void> {
      await namespace.kubectl(['delete', 'containernetworkpolicy', name]);
    }

    async function expectTried(what: string, succeeds: boolean): Promise<void> {
      const task = tasks.find((each) => each.what === what);
      const { succeeded, output } = await example.tries(task!);
      expect(succeeded, `${what}: ${output}`).to.equal(succeeds);
    }

    async function explained(...args: readonly string[]): Promise<string> {
      const { name } = example.pod.primary.metadata;
      const all = ['policy', name, '-n', namespace.name, '--kubeconfig', kubeconfig, ...args];
      return (await run(plugin, all)).stdout;
    }

    async function podUids(): Promise<readonly string[]> {
      const [split] = await splitPods(namespace, 'agent');
      return [...split!.pieces.values()].map(({ metadata }) => metadata.uid).sort();
    }

    async function seenBeacons(): Promise<number> {
      return (await example.outside.seen(beaconPort)).length;
    }

    /** How many come in half a second, in which there are ten. */
    async function beacons(): Promise<number> {
      const before = await seenBeacons();
      const until = performance.now() + 500;
      let now = before;
      while (performance.now() < until) now = await seenBeacons();
      return now - before;
    }

    /** Milliseconds until the last one came; they come every 50. */
    async function untilSilent(): Promise<number> {
      const begin = performance.now();
      let [seen, last] = [await seenBeacons(), begin];
      while (performance.now() - last < 1500) {
        const now = await seenBeacons();
        if (now > seen) [seen, last] = [now, performance.now()];
        if (last - begin > 10_000) throw new Error('they still come after ten seconds');
      }
      return last - begin;
    }
  });
}
