import { expect } from 'chai';
import { labelNews } from './kept-labels.ts';
import { readPod, type LivePod } from './piece-pod.ts';

describe('labels that a sibling keeps of its Pod', () => {
  const kept = {
    'podsplit.io/role': 'sibling',
    'podsplit.io/split': 's',
    'podsplit.io/container': 'log',
    'label.podsplit.io/app': 'web',
    'example.com.label.podsplit.io/tier': 'front',
  };

  it('are as they should be', () => {
    expect(labelNews(primary({ app: 'web', 'example.com/tier': 'front' }), sibling(kept))).to.deep.equal({});
  });

  it('follow those of the Pod: changed, added and taken away', () => {
    expect(labelNews(primary({ app: 'shop', new: 'x' }), sibling(kept))).to.deep.equal({
      'label.podsplit.io/app': 'shop',
      'label.podsplit.io/new': 'x',
      'example.com.label.podsplit.io/tier': null,
    });
  });
});

function primary(labels: Readonly<Record<string, string>>): LivePod {
  return pod({ ...labels, 'podsplit.io/role': 'primary', 'podsplit.io/workload': 'w' });
}

function sibling(labels: Readonly<Record<string, string>>): LivePod {
  return pod(labels);
}

function pod(labels: Readonly<Record<string, string>>): LivePod {
  return readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web-1',
      namespace: 'shop',
      uid: 'u',
      labels,
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'web-1', uid: 'p', controller: true }],
    },
    spec: { containers: [{ name: 'app' }], readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] },
  })!;
}
