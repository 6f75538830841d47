// The users' own NetworkPolicies hold for split Pods, whose siblings call from addresses of their own: as the Pods that a
// policy is about, as those that it lets in, and across namespaces. The engine of the cluster enforces.

import { expect } from 'chai';
import type { INetworkPolicySpec } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicySpec';
import { mirrorOfAnnotation, ownLabels } from '../controller/api/names.ts';
import type { NetworkPolicy } from '../controller/kube/resources.ts';
import { agentProgram, agents, barePod, call, splitMode, workload, type Listener } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, podIPs, type Pod } from './support/objects.ts';
import { eventOf, isReady, podSplitOf, readySplitPods, type SplitPod } from './support/pieces.ts';

const open = (port: number): Listener => ({ protocol: 'tcp', bind: '::', port, declared: true });
const db = { pod: 'db', container: 'db' };
const stranger = { pod: 'stranger', container: 'stranger' };
/** Of every piece, whichever it is: the app, which is the primary, and the sidecar. */
const pieces = ['app', 'sidecar'] as const;

describe("the users' own NetworkPolicies", () => {
  let shop: TestNamespace;
  let bank: TestNamespace;
  let web: SplitPod;

  before(async () => {
    shop = await TestNamespace.create('policies');
    bank = await TestNamespace.create('policies-bank');
    await shop.apply(
      agentProgram,
      workload('Deployment', 'web', agents({ app: [open(7001)], sidecar: [open(7002)] }), {
        replicas: 1,
        annotations: { ...splitMode, 'podsplit.io/primary': 'app' },
      }),
      barePod('stranger', agents({ stranger: [open(7003)] })),
    );
    await bank.apply(agentProgram, barePod('db', agents({ db: [open(7005), open(7006)] })));
    [web] = (await readySplitPods(shop, 'web', 1, pieces)) as [SplitPod];
    await eventually('the plain Pods are ready', async () => {
      expect(isReady(await shop.get<Pod>('pods', 'stranger'))).to.equal(true);
      expect(isReady(await bank.get<Pod>('pods', 'db'))).to.equal(true);
    });
  });

  after(() => TestNamespace.deleteAll());

  it('without any, everybody reaches the other namespace', async () => {
    await reaches({ app: true, sidecar: true, stranger: true }, 7005);
  });

  it('that let in the Pod by its labels, in another namespace, let in its sibling, and no stranger', async () => {
    await bank.apply(policy('db-clients', letsIn(7005)));
    await reaches({ app: true, sidecar: true, stranger: false }, 7005);
    await reaches({ app: false, sidecar: false, stranger: false }, 7006);
    const [mirror] = await mirrors(bank);
    expect(mirror?.metadata.annotations?.[mirrorOfAnnotation]).to.equal('db-clients');
    expect(mirror?.metadata.ownerReferences?.map(({ kind, name }) => `${kind} ${name}`)).to.deep.equal([
      'NetworkPolicy db-clients',
    ]);
  });

  it('have their mirrors set right when somebody edits or deletes them', async () => {
    const [mirror] = await mirrors(bank);
    const name = mirror!.metadata.name;
    const patch = '[{"op": "replace", "path": "/spec/ingress", "value": []}]';
    await bank.kubectl(['patch', 'networkpolicy', name, '--type=json', '-p', patch]);
    await eventually('its rules are back', async () => {
      expect((await mirrors(bank)).map(({ spec }) => spec)).to.deep.equal([mirror!.spec]);
    });
    await bank.kubectl(['delete', 'networkpolicy', name]);
    await eventually('it is back', async () => {
      expect((await mirrors(bank)).map(({ spec }) => spec)).to.deep.equal([mirror!.spec]);
    });
    await reaches({ app: true, sidecar: true, stranger: false }, 7005);
  });

  it('reach all pieces when they change', async () => {
    await bank.apply(policy('db-clients', letsIn(7006)));
    await reaches({ app: true, sidecar: true, stranger: false }, 7006);
    await reaches({ app: false, sidecar: false, stranger: false }, 7005);
  });

  it('take their mirrors with them', async () => {
    await bank.kubectl(['delete', 'networkpolicy', 'db-clients']);
    await eventually('the mirror is gone', async () => {
      expect(await mirrors(bank)).to.deep.equal([]);
    });
    await reaches({ app: true, sidecar: true, stranger: true }, 7005);
  });

  it('that restrict what the Pod may call restrict each piece, and a change reaches each', async () => {
    const to = (port: number): INetworkPolicySpec => ({
      podSelector: { matchLabels: { app: 'web' } },
      policyTypes: ['Egress'],
      egress: [{ to: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'db' } } }], ports: [{ port }] }],
    });
    await shop.apply(policy('web-egress', to(7005)));
    await reaches({ app: true, sidecar: true, stranger: true }, 7005);
    await reaches({ app: false, sidecar: false, stranger: true }, 7006);
    await shop.apply(policy('web-egress', to(7006)));
    await reaches({ app: true, sidecar: true, stranger: true }, 7006);
    await reaches({ app: false, sidecar: false, stranger: true }, 7005);
    await shop.kubectl(['delete', 'networkpolicy', 'web-egress']);
    await reaches({ app: true, sidecar: true, stranger: true }, 7005);
  });

  it('that deny all by default leave the pieces each other, and nothing else', async () => {
    await shop.apply(policy('default-deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }));
    await reaches({ app: false, sidecar: false, stranger: false }, 7005);
    await answers(bank, db, podIPs(web.primary), 7002, undefined);
    await answers(shop, piece('app'), ['127.0.0.1', '::1'], 7002, 'sidecar');
    await answers(shop, piece('sidecar'), ['127.0.0.1', '::1'], 7001, 'app');
  });

  it("that let somebody in to a sibling's port lead to the sibling, at the Pod's address", async () => {
    await shop.apply(
      policy('to-the-sidecar', {
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [
          { from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'db' } } }], ports: [{ port: 7002 }] },
        ],
      }),
    );
    await answers(bank, db, podIPs(web.primary), 7002, 'sidecar');
    await answers(bank, db, podIPs(web.primary), 7001, undefined);
    await answers(bank, db, podIPs(web.pieces.get('sidecar')!), 7002, undefined);
    await shop.kubectl(['delete', 'networkpolicy', 'to-the-sidecar', 'default-deny']);
    await reaches({ app: true, sidecar: true, stranger: true }, 7005);
  });

  it('follow labels that change on the Pod', async () => {
    const sidecar = web.pieces.get('sidecar')!.metadata.name;
    await shop.kubectl(['label', 'pod', web.primary.metadata.name, 'tier=front']);
    const tier = async () => (await shop.get<Pod>('pods', sidecar)).metadata.labels?.['label.podsplit.io/tier'];
    await eventually('the sibling keeps the label', async () => {
      expect(await tier()).to.equal('front');
    });
    await shop.kubectl(['label', 'pod', web.primary.metadata.name, 'tier-']);
    await eventually('the sibling has it no longer', async () => {
      expect(await tier()).to.equal(undefined);
    });
  });

  it('are said to be inexact where they select by absence', async () => {
    const podSelector = { matchExpressions: [{ key: 'app', operator: 'NotIn' as const, values: ['web'] }] };
    // Of this suite's namespace alone: what it says of the Pods of others, others would read.
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': shop.name } };
    await bank.apply(
      policy('all-but-web', { podSelector: {}, ingress: [{ from: [{ namespaceSelector, podSelector }] }] }),
    );
    const event = await eventOf(bank, 'NotMirroredExactly', 'NetworkPolicy', 'all-but-web');
    expect(event.message).to.contain('lets in siblings whose Pod it does not let in');
    expect(event.message).to.contain(`${shop.name}/${web.primary.metadata.name}`);
    const mirrored = async () => condition(await podSplitOf(shop, web.primary), 'PoliciesMirrored');
    await eventually('the PodSplit says so', async () => {
      const { status, reason, message } = (await mirrored()) ?? {};
      expect([status, reason]).to.deep.equal(['False', 'NegativeSelector']);
      expect(message).to.contain(`NetworkPolicy ${bank.name}/all-but-web lets in siblings`);
    });
    await bank.kubectl(['delete', 'networkpolicy', 'all-but-web']);
    await eventually('the PodSplit says that all is exact', async () => {
      expect((await mirrored())?.status).to.equal('True');
    });
  });

  it('have no mirrors where no split Pod is left, and all else is in order', async () => {
    await bank.apply(policy('db-clients', letsIn(7005)));
    await eventually('there is a mirror', async () => {
      expect(await mirrors(bank)).to.have.length(1);
    });
    await invariantsHold();
    await shop.kubectl(['delete', 'deployment', 'web']);
    await eventually('there is none', async () => {
      expect(await mirrors(bank)).to.have.length(0);
    });
    await invariantsHold();
  });

  function letsIn(port: number): INetworkPolicySpec {
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': shop.name } };
    const from = [{ namespaceSelector, podSelector: { matchLabels: { app: 'web' } } }];
    return { podSelector: { matchLabels: { app: 'db' } }, ingress: [{ from, ports: [{ port }] }] };
  }

  function piece(container: string) {
    return { pod: web.pieces.get(container)!.metadata.name, container };
  }

  /** Who reaches the db of the other namespace? By every address of it. */
  async function reaches(who: Readonly<Record<'app' | 'sidecar' | 'stranger', boolean>>, port: number): Promise<void> {
    const addresses = podIPs(await bank.get<Pod>('pods', 'db'));
    const callers = [piece('app'), piece('sidecar'), stranger];
    await Promise.all(
      callers.map((caller) => {
        const allowed = who[caller.container as keyof typeof who];
        return answers(shop, caller, addresses, port, allowed ? 'db' : undefined);
      }),
    );
  }
});

/** Engines apply policies some time later. */
async function answers(
  namespace: TestNamespace,
  caller: { readonly pod: string; readonly container: string },
  addresses: readonly string[],
  port: number,
  expected: string | undefined,
): Promise<void> {
  const targets = addresses.map((address) => ['tcp', address, port] as const);
  await eventually(`${caller.container} calls ${addresses.join(', ')} port ${port}`, async () => {
    const found = await call(namespace, caller.pod, caller.container, targets);
    expect(found.map((answer) => answer?.split(' ')[0])).to.deep.equal(addresses.map(() => expected));
  });
}

async function mirrors(namespace: TestNamespace): Promise<readonly NetworkPolicy[]> {
  const all = await namespace.list<NetworkPolicy>('networkPolicies', {
    labelSelector: `${ownLabels.managedBy}=podsplit`,
  });
  return all.filter(({ metadata }) => metadata.name.startsWith('podsplit-peers-'));
}

function policy(name: string, spec: INetworkPolicySpec) {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name }, spec };
}
