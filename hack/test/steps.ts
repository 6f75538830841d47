import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** A step, works one after the other, or works side by side. */
export type Work = Step | { readonly inTurn: readonly Work[] } | { readonly sideBySide: readonly Work[] };

export interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** What comes after it in turn is pointless when this one fails. */
  readonly needed?: true;
}

/** Without .mocharc.json: its spec would be added to the command's. Suites on a cluster wait for Pods, not for code. */
function mocha(...specs: readonly string[]): readonly string[] {
  return ['mocha', '--no-config', '--extension', 'ts', '--timeout', '300000', ...specs];
}

const suffix = '.test.ts';

function path(suite: string): string {
  return `e2e/${suite}${suffix}`;
}

const lint: readonly Step[] = [
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'eslint', command: ['eslint', '--cache', '--cache-location', 'node_modules/.cache/eslint/', '.'] },
  { name: 'formatting', command: ['prettier', '--check', '--log-level', 'warn', '.'] },
  { name: 'CNI plugin: gofmt and go vet', command: ['node', 'hack/cni.ts', '--lint'] },
  { name: 'reference docs', command: ['node', 'hack/docs.ts', '--check'] },
  { name: 'dashboard', command: ['node', 'hack/dashboard.ts', '--check'] },
  { name: 'chart', command: ['node', 'hack/chart.ts', '--check'] },
];

const unit: readonly Step[] = [
  { name: 'unit, golden and property tests', command: ['mocha'] },
  { name: 'CNI plugin: go test', command: ['node', 'hack/cni.ts', '--test'] },
];

/** Needs nothing of the cluster, and names what it makes for its process. */
const netns: Step = { name: 'rules in bare network namespaces', command: mocha('e2e/netns/**/*.test.ts') };

/** What people look at, in what they look at it with. */
const browser: Step = { name: 'pages and drawings in Chromium', command: mocha('e2e/browser/**/*.test.ts') };

/** As users get it, rendered by what they render it with. */
const deploy: Step = { name: 'chart, kustomize, krew', command: mocha('e2e/deploy/**/*.test.ts') };

/** They boot control planes with simulated nodes of their own, and ask the embedded cluster nothing. */
const simulated = ['34-guards-resources', '71-fault-sweep'];
const onSimulated: Step = {
  name: `end to end, nodes simulated: ${simulated.join(', ')}`,
  command: mocha(...simulated.map(path)),
};

const cluster: readonly Step[] = [
  { name: 'bundles', command: ['node', 'hack/build.ts'], needed: true },
  { name: 'images', command: ['node', 'hack/images/build.ts'], needed: true },
  { name: 'embedded cluster', command: ['node', 'hack/cluster/up.ts'], needed: true },
  { name: 'images onto the nodes', command: ['node', 'hack/images/load.ts'], needed: true },
  { name: 'smoke test of the cluster', command: ['node', 'hack/cluster/smoke.ts'] },
  { name: 'install', command: ['node', 'hack/install.ts'], needed: true },
];

/**
 * Suites that look at what is theirs only, and take nothing from others. What is not named here runs alone: it stops
 * controllers or agents, kills nodes, uninstalls, starts Pods all the time, or is about what happens in a moment.
 */
const lanes = {
  // Those that listen in the world outside stay in one lane: its ports are there once.
  outside: [
    '10-web',
    '11-loopback',
    '12-restricted',
    '13-kubectl-verbs',
    '60-egress-via',
    '64-egress-via-policy',
    '66-mesh',
  ],
  workloads: [
    '30-bad-input',
    '31-gated',
    '32-tampering',
    '33-guards',
    '61-network-policies',
    '62-observe',
    '14-what-containers-see',
    '15-workload-kinds',
    '16-services',
  ],
  // Each calls everybody from everywhere, and keeps a small machine busy by itself.
  policies: ['63-policies-split', '63-policies-isolate'],
  attacks: ['51-attacks', '68-start-order', '17-probes-and-hooks'],
} as const;

const suites = readdirSync(join(import.meta.dirname, '../../e2e')).filter((name) => name.endsWith(suffix));
const elsewhere: readonly string[] = [...Object.values(lanes).flat(), ...simulated];
const alone = suites
  .map((name) => name.slice(0, -suffix.length))
  .filter((name) => !elsewhere.includes(name))
  .toSorted();

/** Suites of one process keep namespaces in common: each lane is a process of its own. */
function lane(name: keyof typeof lanes): Step {
  return { name: `end to end: ${lanes[name].join(', ')}`, command: mocha(...lanes[name].map(path)) };
}

const client: Step = { name: 'API client', command: mocha('e2e/kube/**/*.test.ts') };

/** Three side by side keep two processors busy; what more there were would wait for each other, and tests give up on that. */
function work(...withoutCluster: readonly Step[]): Work {
  return {
    inTurn: [
      {
        sideBySide: [
          { inTurn: [...withoutCluster, netns] },
          { inTurn: [...cluster, { sideBySide: [lane('outside'), lane('workloads')] }] },
        ],
      },
      {
        sideBySide: [
          { inTurn: [browser, deploy, onSimulated] },
          lane('policies'),
          { inTurn: [client, lane('attacks')] },
        ],
      },
      ...alone.map((suite) => ({ name: `end to end, alone: ${suite}`, command: mocha(path(suite)) })),
    ],
  };
}

export const e2e: Work = work();

export const all: Work = work(...lint, ...unit);
