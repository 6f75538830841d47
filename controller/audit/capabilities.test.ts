import { expect } from 'chai';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { mayBeSameUser, powersOf, type Holding } from './capabilities.ts';

type Context = NonNullable<IContainer['securityContext']>;

function holding(capability: string, own: Context, ofPod: IPodSpec['securityContext'] = {}): Holding {
  const container = { name: 'a', securityContext: own };
  return powersOf(container, { containers: [container], securityContext: ofPod }).holds(capability);
}

describe('the capabilities of a container', () => {
  const cases: readonly [string, Holding, string, Context, IPodSpec['securityContext']?][] = [
    ['root has what the runtime grants', 'held', 'NET_RAW', { runAsUser: 0 }],
    ['who says nothing may be root', 'assumed', 'NET_RAW', {}],
    ['the user of the Pod counts', 'held', 'NET_RAW', {}, { runAsUser: 0 }],
    ['and the own one before it', 'obtainable', 'NET_RAW', { runAsUser: 7 }, { runAsUser: 0 }],
    ['not root may bear it by a file', 'obtainable', 'NET_RAW', { runAsNonRoot: true }],
    // Tried: runc starts a program with cap_setuid+ep under no_new_privs, and setuid(2) works.
    [
      'no_new_privs leaves it the first program',
      'obtainable',
      'SETUID',
      { runAsUser: 7, allowPrivilegeEscalation: false },
    ],
    ['what is dropped nobody has', 'none', 'NET_RAW', { runAsUser: 0, capabilities: { drop: ['NET_RAW'] } }],
    ['all are dropped', 'none', 'SETUID', { runAsUser: 0, capabilities: { drop: ['ALL'] } }],
    [
      'but for what is added',
      'held',
      'NET_ADMIN',
      { runAsUser: 0, capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } },
    ],
    ['in whatever way it is written', 'held', 'NET_ADMIN', { runAsUser: 0, capabilities: { add: ['cap_net_admin'] } }],
    ['what is not granted nobody has', 'none', 'SYS_ADMIN', { runAsUser: 0 }],
    ['ALL is everything', 'held', 'SYS_ADMIN', { runAsUser: 0, capabilities: { add: ['ALL'] } }],
    [
      'unless it is dropped',
      'none',
      'SYS_ADMIN',
      { runAsUser: 0, capabilities: { add: ['ALL'], drop: ['SYS_ADMIN'] } },
    ],
    [
      'and dropped before it is added',
      'none',
      'SYS_ADMIN',
      { runAsUser: 0, capabilities: { add: ['ALL'], drop: ['ALL'] } },
    ],
    [
      'privileged is everything',
      'held',
      'SYS_ADMIN',
      { runAsUser: 0, privileged: true, capabilities: { drop: ['ALL'] } },
    ],
  ];
  for (const [name, expected, capability, own, ofPod] of cases) {
    it(name, () => {
      expect(holding(capability, own, ofPod)).to.equal(expected);
    });
  }

  it('takes who says nothing for root, and those that are not root for one user unless UIDs tell', () => {
    const root = { kind: 'root' } as const;
    const unknown = { kind: 'unknown' } as const;
    const some = { kind: 'other' } as const;
    const seven = { kind: 'other', uid: 7 } as const;
    const eight = { kind: 'other', uid: 8 } as const;
    expect(mayBeSameUser(root, unknown)).to.equal(true);
    expect(mayBeSameUser(unknown, unknown)).to.equal(true);
    expect(mayBeSameUser(some, some)).to.equal(true);
    expect(mayBeSameUser(seven, seven)).to.equal(true);
    expect(mayBeSameUser(seven, eight)).to.equal(false);
    expect(mayBeSameUser(seven, some)).to.equal(false);
    expect(mayBeSameUser(root, seven)).to.equal(false);
    expect(mayBeSameUser(unknown, some)).to.equal(false);
  });
});
