// Nobody gains by being early. Pods whose first instruction attacks a peer, by every address that it may have, start by
// dozens: on a quiet node, under load, while the agents are replaced, and while there are none.

import { expect } from 'chai';
import { ownLabels } from '../controller/api/names.ts';
import { imageReference } from '../hack/images/recipes.ts';
import { barePod, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import type { Event, Pod } from './support/objects.ts';
import {
  aimedAt,
  forbidden,
  outcomes,
  racers,
  raceProgram,
  reports,
  type First,
  type Outcome,
  type Report,
} from './support/race.ts';

const agents = ['-n', 'podsplit-node'];
const daemonSet = 'daemonset/podsplit-agent';
const firsts: readonly First[] = ['attacker', 'victim'];
/** No node has it. */
const away = 'podsplit.io/e2e-away';

/** cni/errors.go: what, why, what to do. */
const said = /podsplit: the node agent does not answer at \S+ \(.+\): the Pod waits; see the DaemonSet podsplit-agent/;

/** Endless loops on each node, which take what they get, and end themselves if nobody ends them. */
const load = workload(
  'DaemonSet',
  'load',
  {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'load',
        image: imageReference('samples'),
        command: ['bash', '-c', 'for i in 1 2 3; do timeout 60 bash -c "while :; do :; done" & done; wait; sleep 600'],
      },
    ],
  },
  {},
);

describe('the race at the start, with the rules loaded by the node agent', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('race');
    await namespace.apply(raceProgram);
  });

  after(() => TestNamespace.deleteAll());

  it('in one Pod thousands of packets and connections arrive, at every address', async () => {
    await namespace.apply(racers('plain', 2));
    await ready(['plain']);
    const pods = await namespace.list<Pod>('pods', { labelSelector: 'app=plain' });
    const told = await reports(namespace, 'app=plain', new Set(pods.map(({ metadata }) => metadata.name)));
    for (const pod of pods) {
      const arrived = arrivals(told.get(pod.metadata.name)!);
      for (const protocol of ['udp', 'tcp']) {
        const own = Object.entries(arrived).filter(([from]) => from.startsWith(protocol));
        const sum = own.reduce((total, [, packets]) => total + packets, 0);
        expect(sum, protocol).to.be.greaterThan(1000);
        const sources = own.map(([from]) => from.split(' ')[1]);
        expect(sources).to.include.members(['127.0.0.1', '::1', ...(pod.status.podIPs ?? []).map(({ ip }) => ip)]);
      }
    }
    await end(['plain']);
  });

  it('of 50 pieces none lets one in', async () => {
    const all = await race('quiet', 25);
    // A sibling is told the Pod IP of its primary; a primary guesses those of its siblings, and often guesses right.
    const [told, guessing] = [all.filter(attackerIsSibling), all.filter((one) => !attackerIsSibling(one))];
    expect(told.filter((one) => !aimedAt(one, 'pod'))).to.deep.equal([]);
    expect(guessing.filter((one) => aimedAt(one, 'pod'))).not.to.be.empty;
  });

  it('nor under load', async () => {
    await namespace.apply(load);
    await namespace.kubectl(['rollout', 'status', 'daemonset/load', patience]);
    try {
      await race('loaded', 5);
    } finally {
      await namespace.kubectl(['delete', 'daemonset/load', '--wait=false']);
    }
  });

  it('nor while the agents are replaced', async () => {
    await race('replaced', 4, async () => {
      for (let round = 0; round < 2; round++) {
        await kubectl([...agents, 'delete', 'pod', '-l', 'app.kubernetes.io/component=agent', '--grace-period=1']);
        await agentsAreUp();
      }
    });
  });

  describe('while there is no agent', () => {
    const names = namesOf('lonely');

    before(async () => {
      await runAgentsOn('none');
      await eventually('no agent is left', async () => {
        const left = await kubectl([...agents, 'get', 'pods', '-l', 'app.kubernetes.io/component=agent', '-o', 'name']);
        expect(left.trim()).to.equal('');
      });
    });
    after(async () => {
      await runAgentsOn('all');
      await agentsAreUp();
    });

    it('no piece starts, the Pod says why, and other Pods do not notice', async () => {
      await namespace.apply(
        ...deployments('lonely', 2),
        barePod('other', {
          containers: [{ name: 'other', image: imageReference('samples'), command: ['sleep', '60'] }],
        }),
      );
      await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/other', patience]);
      const waiting = await eventually('each Pod says what it waits for', async () => {
        const events = await namespace.list<Event>('events', { fieldSelector: 'reason=FailedCreatePodSandBox' });
        const pods = await primaries(names);
        expect(pods).to.have.length(2);
        for (const { metadata } of pods) {
          const messages = events.filter(({ involvedObject }) => involvedObject.uid === metadata.uid);
          expect(messages.map(({ message }) => message).join('\n'), metadata.name).to.match(said);
        }
        return pods;
      });
      const described = await namespace.kubectl(['describe', 'pod', waiting[0]!.metadata.name]);
      expect(described).to.match(said);
      const pieces = (await namespace.list<Pod>('pods')).filter(({ metadata }) => metadata.name.startsWith('lonely'));
      expect(pieces.length).to.be.greaterThan(2);
      for (const { metadata, status } of pieces) {
        const started = (status.containerStatuses ?? []).filter(({ state }) => state.waiting === undefined);
        expect(started, metadata.name).to.deep.equal([]);
      }
    });

    it('they start once it is back, and are as clean', async () => {
      await runAgentsOn('all');
      await agentsAreUp();
      await judge(names, 2);
      await end(names);
    });
  });

  /** Two Deployments: in one of them the attacker's piece starts before the victim's, in the other after it. */
  function deployments(name: string, pods: number): readonly object[] {
    return namesOf(name).map((full, index) =>
      racers(full, index === 0 ? Math.ceil(pods / 2) : Math.floor(pods / 2), firsts[index]),
    );
  }

  async function race(name: string, pods: number, meanwhile?: () => Promise<void>): Promise<readonly Outcome[]> {
    try {
      await namespace.apply(...deployments(name, pods));
      await meanwhile?.();
      return await judge(namesOf(name), pods);
    } finally {
      await end(namesOf(name));
    }
  }

  async function judge(names: readonly string[], pods: number): Promise<readonly Outcome[]> {
    await ready(names);
    const all = await outcomes(namespace, names);
    expect(all).to.have.length(pods);
    for (const { split, report } of all) {
      const name = split.primary.metadata.name;
      for (const [address, arrived] of Object.entries(report.arrived)) {
        expect(arrived, `${name}: the flow that is open, at ${address}`).to.be.an('object');
      }
      for (const tried of Object.values(report.tried)) expect(tried, name).to.be.greaterThan(3 * report.targets.length);
      expect(report.targets, name).to.include.members(['127.0.0.1', '::1']);
    }
    expect(all.filter((one) => !aimedAt(one, 'peer'))).to.deep.equal([]);
    expect(all.flatMap((one) => forbidden(one, all))).to.deep.equal([]);
    return all;
  }

  function ready(names: readonly string[]): Promise<unknown> {
    return Promise.all(names.map((name) => namespace.kubectl(['rollout', 'status', `deployment/${name}`, patience])));
  }

  async function end(names: readonly string[]): Promise<void> {
    await namespace.kubectl(['delete', '--wait=false', ...names.map((name) => `deployment/${name}`)]);
    // They would be strangers to those that come next, and not the last of them to be known.
    await namespace.kubectl(['wait', '--for=delete', 'pod', '-l', ownLabels.container, patience]);
  }

  async function primaries(names: readonly string[]): Promise<readonly Pod[]> {
    return namespace.list<Pod>('pods', { labelSelector: `app in (${names.join(',')})` });
  }
});

function namesOf(name: string): readonly string[] {
  return firsts.map((first) => `${name}-${first}-first`);
}

function attackerIsSibling({ split: { primary, pieces } }: Outcome): boolean {
  return pieces.get('attacker')!.metadata.uid !== primary.metadata.uid;
}

function arrivals({ arrived }: Report): Readonly<Record<string, number>> {
  const said = arrived['127.0.0.1'];
  if (typeof said === 'string') throw new Error(`the victim was not reached: ${said}`);
  return said;
}

/** Of the nodes all or none. */
async function runAgentsOn(nodes: 'all' | 'none'): Promise<void> {
  const nodeSelector = { [away]: nodes === 'none' ? 'true' : null };
  const patch = JSON.stringify({ spec: { template: { spec: { nodeSelector } } } });
  await kubectl([...agents, 'patch', daemonSet, '--type=merge', '-p', patch]);
}

async function agentsAreUp(): Promise<void> {
  await kubectl([...agents, 'rollout', 'status', daemonSet, patience]);
}
