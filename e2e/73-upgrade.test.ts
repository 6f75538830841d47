// Controller and agents are upgraded, and rolled back, while split Pods run: no connection is cut, no piece is restarted, and
// what another version wrote is kept, or does no harm.

import { expect } from 'chai';
import { packageVersion } from '../hack/build.ts';
import { listAll } from './support/api.ts';
import { agents, barePod, splitMode, workload } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { isolatedPod, isolateMode, withUsers } from './support/isolated.ts';
import { TestNamespace } from './support/namespace.ts';
import {
  applyNextCrds,
  blocksOf,
  install,
  loadNextVersion,
  nextVersion,
  rollBack,
  sharedIn,
  versionsRunning,
  writeNextFields,
  writeNextFiles,
  type NextBlock,
} from './support/next-version.ts';
import { tablesWithHandles, wrongTables } from './support/node-agent.ts';
import type { Event, KubeObject, Meta, Pod, PodSplit } from './support/objects.ts';
import { eventOf, readySplitPods, splitPods, type SplitPod } from './support/pieces.ts';
import { echoes, streamProgram, streams } from './support/streams.ts';

const containers = ['app', 'helper'];
const flows = { 'podsplit.io/flows': 'app->helper:7001/tcp, app->helper:7002/udp' };
const spec = echoes({ app: ['tcp:7100'], helper: ['tcp:7001', 'udp:7002'] });
const kept = { tcp: 'tcp:127.0.0.1:7001', tcp6: 'tcp:::1:7001', udp: 'udp:127.0.0.1:7002' } as const;
const listening = { app: [{ protocol: 'tcp', bind: '127.0.0.1', port: 7001, declared: true }], helper: [] } as const;

describe('an upgrade of podsplit', () => {
  let namespace: TestNamespace;
  let image: string;
  let version: string;

  before(async () => {
    namespace = await TestNamespace.create('upgrade');
    version = await packageVersion();
    [image] = await Promise.all([
      loadNextVersion(),
      namespace.apply(
        streamProgram,
        deployment('web', 'node'),
        deployment('init', 'init'),
        workload('Deployment', 'isolated', withUsers(agents(listening), { app: 2001, helper: 2002 }), {
          replicas: 1,
          annotations: isolateMode,
        }),
      ),
    ]);
    await Promise.all([
      readySplitPods(namespace, 'web', 1, containers),
      readySplitPods(namespace, 'init', 1, containers),
      isolatedPod(namespace, 'isolated'),
    ]);
  });

  after(async () => {
    await TestNamespace.deleteAll();
    await install();
  });

  it('cuts no connection, restarts no piece, and writes nothing anew', async () => {
    const before = await state();
    await whileTalking(async () => {
      await install(image);
      await running([nextVersion]);
      await lookedAt('other-next');
    });
    expect(await state()).to.deep.equal(before);
  });

  it('lets the new version wire Pods of a workload that the old one had', async () => {
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
    await readySplitPods(namespace, 'web', 2, containers);
  });

  it('and back again, with fields that the old version does not know: the same holds, and they are kept', async () => {
    const [newest] = (await splitPods(namespace, 'web')).toSorted(younger);
    await applyNextCrds();
    await writeNextFields(namespace, [...newest!.pieces.values()]);
    await writeNextFiles();
    const before = await state();
    await whileTalking(async () => {
      await rollBack();
      await running([version]);
      await lookedAt('other-back');
    });
    expect(await state()).to.deep.equal(before);
    expect((await alarms()).map(({ reason, message }) => `${reason}: ${message}`)).to.deep.equal([]);
    for (const { metadata } of await listAll<KubeObject>('nodes')) {
      expect(await wrongTables(metadata.name, namespace.name)).to.deep.equal([]);
    }
  });

  it('goes on from there: keeps what it does not know where it writes, and Pods whole that it does not understand', async () => {
    const strange = (await splitPods(namespace, 'web')).find(
      ({ primary }) => primary.metadata.annotations?.['podsplit.io/next'] !== undefined,
    )!;
    await Promise.all([
      namespace.kubectl(['scale', 'deployment/web', '--replicas=3']),
      namespace.kubectl(['delete', 'pod', strange.pieces.get('helper')!.metadata.name, '--wait=false']),
    ]);
    await eventOf(namespace, 'SiblingLost', 'Deployment', 'web');
    const after = await readySplitPods(namespace, 'web', 3, containers);
    expect(after.map(({ primary }) => primary.metadata.uid)).not.to.include(strange.primary.metadata.uid);
    await eventually('its addresses are free', async () => {
      for (const { spec: block } of await blocks()) {
        expect(block.next).to.be.a('string');
        // Of each workload one Pod is left to which the other version had written.
        expect(block.claims.filter(({ next }) => next !== undefined)).to.have.length(1);
      }
    });
    await invariantsHold();
  });

  function deployment(name: string, mode: 'node' | 'init') {
    const annotations = { ...splitMode, ...flows, 'podsplit.io/install': mode };
    return workload('Deployment', name, spec, { replicas: 1, annotations });
  }

  /** In both install modes, and each connection lasts. */
  async function whileTalking(work: () => Promise<void>): Promise<void> {
    const pods = await Promise.all(['web', 'init'].map((app) => oldest(app)));
    const talking = pods.map(({ primary }) => streams(namespace, primary.metadata.name, 'app', kept));
    await work();
    for (const [index, each] of talking.entries()) {
      for (const [name, { sent, answered, error }] of Object.entries(await each.stop())) {
        expect({ answered, error }, `${['web', 'init'][index] ?? ''} ${name}`).to.deep.equal({
          answered: sent,
          error: null,
        });
        expect(sent).to.be.above(500);
      }
    }
  }

  /** Those of Pods that are ending were there before. */
  async function running(versions: readonly string[]): Promise<void> {
    await eventually(`podsplit ${versions.join()} runs`, async () => {
      expect(await versionsRunning()).to.deep.equal(versions);
    });
  }

  async function oldest(app: string): Promise<SplitPod> {
    return (await splitPods(namespace, app)).toSorted(younger).at(-1)!;
  }

  /** A new leader has looked at all there is: after that it wires a Pod that comes now. */
  async function lookedAt(name: string): Promise<void> {
    await namespace.apply(barePod(name, spec, { ...splitMode, ...flows }));
    await readySplitPods(namespace, name, 1, containers);
  }

  async function blocks(): Promise<readonly NextBlock[]> {
    const all = await blocksOf(namespace);
    return all.filter((block) => !block.spec.workload.nad.startsWith('podsplit-other-'));
  }

  async function alarms(): Promise<readonly Event[]> {
    const events = await namespace.list<Event>('events');
    const bad = ['RulesRepaired', 'WiringRefused', 'NetworkRepaired', 'SandboxUnread', 'SiblingLost', 'RulesOutdated'];
    return events.filter(({ reason }) => bad.includes(reason));
  }

  /** All that neither an upgrade nor a rollback may change: what runs, its rules, and what says how it is. */
  async function state(): Promise<object> {
    const ours = ({ metadata }: KubeObject): boolean => !metadata.name.startsWith('other-');
    const pods = (await namespace.list<Pod>('pods')).filter(ours).map(({ metadata, spec: { nodeName }, status }) => ({
      uid: metadata.uid,
      labels: metadata.labels,
      annotations: metadata.annotations,
      nodeName,
      podIPs: status.podIPs,
      containers: status.containerStatuses?.map(({ name, restartCount, ready }) => [name, restartCount, ready]),
    }));
    const podSplits = (await namespace.list<PodSplit>('podSplits')).filter(ours).map((split) => {
      const { denied: _denied, observed: _observed, ...status } = split.status!;
      return { uid: split.metadata.uid, spec: split.spec, status };
    });
    const shared = (await sharedIn(namespace)).filter(({ metadata }) => !ownedByOther(metadata));
    const pieces = (await splitPods(namespace, 'web')).flatMap((split) => [...split.pieces.values()]);
    return {
      pods,
      podSplits,
      versions: [...shared, ...(await blocks())].map(({ kind, metadata: { name, resourceVersion } }) => [
        kind,
        name,
        resourceVersion,
      ]),
      tables: await Promise.all(pieces.map(tablesWithHandles)),
    };
  }
});

function ownedByOther({ ownerReferences = [] }: Meta): boolean {
  return ownerReferences.some(({ name }) => name.startsWith('other-'));
}

function younger(one: SplitPod, other: SplitPod): number {
  return Date.parse(other.primary.metadata.creationTimestamp) - Date.parse(one.primary.metadata.creationTimestamp);
}
