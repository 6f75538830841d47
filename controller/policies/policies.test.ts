import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { NetworkPolicy, type INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { stringify } from 'yaml';
import { nadName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { installModes, type InstallMode } from '../api/install.ts';
import { originalLabelKey } from '../api/keys.ts';
import { ownLabels } from '../api/names.ts';
import type { SplitNetworkSpec } from '../api/resources.ts';
import { selects, type Labels } from './label-selector.ts';
import { carriedFlows, pieceMultiNetworkPolicies } from './multi-network-policy.ts';
import { nadDifferences, nadDiffers, networkAttachmentDefinition } from './nad.ts';
import { pieceNetworkPolicies } from './network-policy.ts';

const workload: WorkloadRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'u-1' };
const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'u-1' };
const spec: SplitNetworkSpec = { ipv4: '198.18.0.0/15', ipv6: 'fd5e:9b1c:47d2::/64', blockSize: 32 };

describe('network attachment definition', () => {
  const network = { name: 'default', spec };
  const nad = networkAttachmentDefinition({ workload, install: 'init', network, owner });

  for (const [file, install] of [
    ['nad.yaml', 'init'],
    ['nad-node.yaml', 'node'],
  ] as const) {
    it(`is as in testdata, its configuration list unfolded: install mode ${install}`, () => {
      const made = networkAttachmentDefinition({ workload, install, network, owner });
      golden(file, [{ ...made, spec: { config: JSON.parse(made.spec.config) as unknown } }]);
      expect(networkAttachmentDefinition({ workload, install, network, owner })).to.deep.equal(made);
    });
  }

  it('asks the node for a plugin of podsplit only in install mode node, on the same bridge', () => {
    const plugins = (install: InstallMode): { type: string; bridge?: string }[] =>
      (
        JSON.parse(networkAttachmentDefinition({ workload, install, network }).spec.config) as {
          plugins: { type: string; bridge?: string }[];
        }
      ).plugins;
    const bridge = (install: InstallMode) => plugins(install).find(({ type }) => type === 'bridge')?.bridge;
    expect(plugins('init').map(({ type }) => type)).to.deep.equal(['bridge', 'tuning']);
    expect(plugins('node').map(({ type }) => type)).to.deep.equal(['podsplit', 'bridge', 'tuning', 'podsplit']);
    expect(bridge('node')).to.equal(bridge('init'));
  });

  it('closes before there is an interface, and has nothing of IPv6 where the network has none', () => {
    const ipv4 = { name: 'v4', spec: { ipv4: '198.18.0.0/15', blockSize: 8 } };
    const { config } = networkAttachmentDefinition({ workload, install: 'node', network: ipv4 }).spec;
    expect(config).to.contain('"phase":"close"').and.to.contain('"phase":"wire"');
    expect(config).to.not.contain('ipv6');
  });

  const spoofing: readonly [boolean | undefined, InstallMode, boolean][] = [
    [undefined, 'init', true],
    [undefined, 'node', false],
    [true, 'node', true],
    [false, 'init', false],
  ];
  for (const [said, install, checked] of spoofing) {
    it(`has the bridge check MACs: ${String(said)} in mode ${install} is ${String(checked)}`, () => {
      const one = { name: 'one', spec: { ...spec, ...(said === undefined ? {} : { macSpoofCheck: said }) } };
      const { config } = networkAttachmentDefinition({ workload, install, network: one }).spec;
      expect(config).to.contain(`"macspoofchk":${String(checked)}`);
    });
  }

  it('takes the link options of the SplitNetwork', () => {
    const narrow = { ipv4: '198.18.0.0/15', blockSize: 8, mtu: 1400, macSpoofCheck: false };
    const { config } = networkAttachmentDefinition({
      workload,
      install: 'init',
      network: { name: 'narrow', spec: narrow },
    }).spec;
    expect(config).to.contain('"mtu":1400').and.to.contain('"macspoofchk":false').and.not.to.contain('ipv6');
  });

  it('stays within the limits of names', () => {
    const long = { ...workload, name: `${'w'.repeat(50)}.${'x'.repeat(202)}` };
    const { metadata, spec: made } = networkAttachmentDefinition({
      workload: long,
      install: 'node',
      network: { name: 'default', spec },
    });
    expect(metadata.name).to.match(/^podsplit-[-a-z0-9.]{1,60}$/);
    expect(/"bridge":"(?<name>[^"]+)"/.exec(made.config)?.groups?.['name']).to.have.lengthOf.at.most(15);
  });

  it('knows an edit by its meaning', () => {
    const formatted = JSON.stringify(JSON.parse(nad.spec.config), null, 2);
    const added = { ...nad.metadata, labels: { ...nad.metadata.labels, team: 'a' }, resourceVersion: '7' };
    const defaulted = [{ ...owner, controller: false, blockOwnerDeletion: false }];
    const same = { metadata: { ...added, ownerReferences: defaulted }, spec: { config: formatted } };
    expect(nadDiffers(same, nad)).to.equal(false);

    const config = nad.spec.config.replace('"macspoofchk":true', '"macspoofchk":false');
    expect(nadDifferences({ ...nad, spec: { config } }, nad)).to.deep.equal(['spec.config']);
    expect(nadDifferences({ ...nad, spec: { config: '{' } }, nad)).to.deep.equal(['spec.config']);
    expect(nadDifferences({ metadata: nad.metadata }, nad)).to.deep.equal(['spec.config']);
    const bare = { ...nad, metadata: { name: nad.metadata.name } };
    expect(nadDifferences(bare, nad)).to.deep.equal([
      `metadata.labels[${ownLabels.managedBy}]`,
      `metadata.labels[${ownLabels.workload}]`,
      'metadata.ownerReferences',
    ]);
  });
});

describe("network policies of a workload's pieces", () => {
  const toDns = { ports: [{ port: 53, protocol: 'UDP' as const }] };
  const toDb = { to: [{ podSelector: { matchLabels: { app: 'db' } } }], ports: [{ port: 5432 }] };
  const userPolicies: readonly INetworkPolicy[] = [
    policy('front-egress', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Egress'], egress: [toDns] }),
    policy('implied-egress', { podSelector: {}, egress: [toDb] }),
    policy('ingress-only', { podSelector: {}, ingress: [{}] }),
    policy('closed', {
      podSelector: { matchExpressions: [{ key: 'example.com/tier', operator: 'In', values: ['front'] }] },
      policyTypes: ['Ingress', 'Egress'],
    }),
    policy('of-others', { podSelector: { matchLabels: { app: 'db' } }, policyTypes: ['Egress'] }),
  ];
  const labels = [{ app: 'web', 'example.com/tier': 'front' }];
  const made = pieceNetworkPolicies({ workload, siblings: ['cache', 'log'], labels, userPolicies, owner });

  it('are as in testdata', () => {
    golden('network-policies.yaml', made);
    for (const one of made) new NetworkPolicy(one).validate();
  });

  it('close the ingress of each sibling, and of nobody else', () => {
    for (const container of ['cache', 'log']) expect(ingress(siblingOf(container, labels[0]!))).to.deep.equal([]);
    expect(ingress({ ...labels[0], ...primaryLabels })).to.equal('open');
    expect(ingress({ ...siblingOf('log', labels[0]!), [ownLabels.workload]: 'of another one' })).to.equal('open');
  });

  it("let a sibling out where the user's policies let the Pod out, and nowhere else", () => {
    const mine = made.filter((one) => one.spec?.policyTypes?.includes('Egress'));
    for (const set of [labels[0]!, { app: 'web' }, { app: 'other' }]) {
      const wanted = rulesFor(userPolicies, set, 'Egress');
      expect(rulesFor(mine, siblingOf('log', set), 'Egress'), JSON.stringify(set)).to.deep.equal(wanted);
    }
  });

  it('keep the label sets of a rollout apart: no union lets an old piece do what a new one may', () => {
    const old = { app: 'web', version: 'old' };
    const young = { app: 'web', version: 'new' };
    const each = [
      policy('old', { podSelector: { matchLabels: { version: 'old' } }, policyTypes: ['Egress'], egress: [toDns] }),
      policy('new', { podSelector: { matchLabels: { version: 'new' } }, policyTypes: ['Egress'], egress: [toDb] }),
    ];
    const both = pieceNetworkPolicies({ workload, siblings: ['log'], labels: [old, young], userPolicies: each });
    expect(rulesFor(both, siblingOf('log', old), 'Egress')).to.deep.equal([toDns]);
    expect(rulesFor(both, siblingOf('log', young), 'Egress')).to.deep.equal([toDb]);
  });

  it('are not mirrored again', () => {
    const again = pieceNetworkPolicies({ workload, siblings: ['log'], labels, userPolicies: made });
    expect(again).to.have.lengthOf(1);
  });

  it('stay within the limit of names', () => {
    const [first] = pieceNetworkPolicies({ workload, siblings: ['c'.repeat(63)], labels, userPolicies: [] });
    expect(first?.metadata?.name).to.have.lengthOf.at.most(253);
  });

  function ingress(set: Labels): 'open' | readonly object[] {
    return rulesFor(made, set, 'Ingress');
  }
});

describe('multi network policies', () => {
  const made = pieceMultiNetworkPolicies({
    workload,
    containers: ['web', 'cache', 'statsd'],
    flows: [
      { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
      { from: 'web', to: 'cache', port: 6380, protocol: 'tcp' },
      { from: 'statsd', to: 'cache', port: 6379, protocol: 'tcp' },
      { from: 'web', to: 'statsd', port: 8125, protocol: 'udp' },
    ],
    facade: [{ container: 'cache', name: 'redis', port: 6379, protocol: 'tcp' }],
    pool: { ipv4: '198.18.0.0/15', ipv6: 'fd5e:9b1c:47d2::/64' },
    owner,
  });

  it('are as in testdata', () => {
    golden('multi-network-policies.yaml', made);
    for (const one of made) {
      new NetworkPolicy({
        metadata: { name: one.metadata.name },
        spec: one.spec,
      }).validate();
    }
  });

  it('let in every piece of a workload that is observed, at every port, and nobody else', () => {
    const key = workloadKey(workload);
    const [open] = pieceMultiNetworkPolicies({
      workload,
      containers: ['cache'],
      flows: [],
      facade: [],
      pool: {},
      observe: true,
    });
    expect(open?.spec.ingress).to.deep.equal([
      { from: [{ podSelector: { matchLabels: { [ownLabels.workload]: key } } }] },
    ]);
  });

  it('let in what is carried to a proxy, as it is after NAT', () => {
    const [proxy] = pieceMultiNetworkPolicies({
      workload,
      containers: ['proxy'],
      flows: carriedFlows([
        { from: 'agent', to: 'proxy', port: 15001, dns: 'proxy' },
        { from: 'other', to: 'proxy', dns: 'cluster' },
      ]),
      facade: [],
      pool: {},
    });
    expect(proxy?.spec.ingress?.map(({ ports }) => ports)).to.deep.equal([
      [
        { port: 15001, protocol: 'TCP' },
        { port: 53, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
    ]);
  });

  it('name the network that they are for: engines pass over those that do not', () => {
    const nads = installModes.map((install) => `shop/${nadName(workload, install)}`);
    for (const { metadata } of made) {
      expect(metadata.annotations?.['k8s.v1.cni.cncf.io/policy-for']?.split(',')).to.have.members(nads);
    }
  });
});

const primaryLabels = { [ownLabels.role]: 'primary', [ownLabels.workload]: workloadKey(workload) };

function siblingOf(container: string, primary: Labels): Labels {
  const kept = Object.entries(primary).map(([key, value]): [string, string] => [originalLabelKey(key), value]);
  return {
    ...Object.fromEntries(kept),
    [ownLabels.role]: 'sibling',
    [ownLabels.container]: container,
    [ownLabels.workload]: workloadKey(workload),
  };
}

/** What NetworkPolicies allow a Pod in sum: everything if none is about it, else the rules of those that are. */
function rulesFor(
  policies: readonly INetworkPolicy[],
  set: Labels,
  type: 'Ingress' | 'Egress',
): 'open' | readonly object[] {
  const about = policies.filter(({ spec: one }) => {
    const types = one?.policyTypes ?? ['Ingress', ...(one?.egress === undefined ? [] : ['Egress'])];
    return types.includes(type) && selects(one?.podSelector, set);
  });
  if (about.length === 0) return 'open';
  const rules = about.flatMap((one): readonly object[] => one.spec?.[type === 'Ingress' ? 'ingress' : 'egress'] ?? []);
  return rules.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
}

function policy(name: string, one: NonNullable<INetworkPolicy['spec']>): INetworkPolicy {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: one,
  };
}

/** Compares with testdata/NAME; UPDATE_GOLDEN=1 writes it instead, for `git diff` to judge. */
function golden(name: string, objects: readonly object[]): void {
  const file = new URL(`./testdata/${name}`, import.meta.url);
  const text = objects.map((object) => stringify(object, { lineWidth: 0 })).join('---\n');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  expect(existsSync(file), `no testdata/${name}: make it with UPDATE_GOLDEN=1`).to.equal(true);
  expect(text).to.equal(readFileSync(file, 'utf8'));
}
