import { expect } from 'chai';
import { ownLabels } from '../api/names.ts';
import { readPod, type LivePod } from '../reconcile/piece-pod.ts';
import { cutPod } from '../split/cut.ts';
import { siblingPod } from '../split/sibling.ts';
import { split } from '../split/split.ts';
import { corpus, corpusOptions } from '../split/testdata/corpus.ts';
import { sharedVolumeOf } from './verify-volume.ts';
import { VolumeError } from './volume-error.ts';

/** The pieces of the golden case, as the controller and the API server leave them. */
function piecesOf(name: string): ReadonlyMap<string, LivePod> {
  const whole = corpus().find((one) => one.name === name)!.pod;
  const plan = split(whole, corpusOptions);
  if (plan.kind !== 'split') throw new Error(`${name} is not split`);
  const primary = cutPod({ ...whole, metadata: { ...whole.metadata, uid: 'uid-1' } }, plan, corpusOptions);
  const live = { ...primary, spec: { ...primary.spec, containers: primary.spec!.containers, nodeName: 'node1' } };
  const shared = { primary, plan, workloadKey: 'key', wiring: undefined, networks: undefined, options: corpusOptions };
  const siblings = plan.siblings.map((piece) => siblingPod({ ...shared, piece, owner: true, gated: false }));
  const named = siblings.map((pod, at) => ({ ...pod, metadata: { ...pod.metadata, uid: `uid-${at + 2}` } }));
  return new Map([live, ...named].map((pod) => [pod.metadata!.labels![ownLabels.container]!, readPod(pod)!]));
}

describe('sharedVolumeOf', () => {
  const pieces = piecesOf('node-shared-volumes');
  const primary = pieces.get('app')!;
  const may = (container: string, name: string) => sharedVolumeOf(pieces.get(container)!, primary, name);
  const refused = (container: string, name: string, of = primary) => {
    expect(() => sharedVolumeOf(pieces.get(container)!, of, name), `${container} ${name}`)
      .to.throw(VolumeError)
      .with.property('code', 'NotShared');
  };

  it('is the same volume for each piece, and the primary gives its UID', () => {
    expect(may('app', 'logs')).to.deep.equal({
      name: 'logs',
      pod: { namespace: 'shop', name: 'sharing', uid: 'uid-1' },
      emptyDir: { medium: 'disk', sizeLimit: '1Gi', bytes: 2 ** 30 },
      fsGroup: 2000,
      storageLimit: undefined,
    });
    expect(may('shipper', 'logs')).to.deep.equal(may('app', 'logs'));
  });

  it("is sized by the whole Pod's memory", () => {
    expect(may('shipper', 'sockets').emptyDir).to.deep.equal({ medium: 'memory', bytes: 320 * 2 ** 20 });
  });

  it("is the primary's too where only an init container mounts it", () => {
    expect(may('app', 'fetched')).to.deep.equal(may('viewer', 'fetched'));
  });

  it('is none that the container does not mount', () => {
    refused('viewer', 'logs');
    refused('shipper', 'fetched');
  });

  it('is none that is not shared, or not there', () => {
    refused('app', 'scratch');
    refused('viewer', 'own');
    refused('app', 'other');
    refused('app', '../uid-2/logs');
    refused('app', '__proto__');
  });

  it('is none of a Pod that was never split so', () => {
    refused('app', 'logs', piecesOf('node-two-containers').values().next().value);
  });
});
