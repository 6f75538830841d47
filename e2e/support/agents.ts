// Workloads of the tests' own: containers that answer and call, so that every way between them can be tried.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { imageReference } from '../../hack/images/recipes.ts';
import type { Ended } from '../../hack/demo/command.ts';
import type { TestNamespace } from './namespace.ts';

export interface Listener {
  readonly protocol: 'tcp' | 'udp';
  /** `::` takes both families. */
  readonly bind: '::' | '127.0.0.1' | '::1';
  readonly port: number;
  /** Is it among the container's `ports`? */
  readonly declared: boolean;
}

const source = 'agent-source';

/** To be applied first: the program that the containers run. */
export const agentProgram = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: source },
  data: { 'agent.py': readFileSync(join(import.meta.dirname, 'agent.py'), 'utf8') },
};

/** What the Pod Security Standard of that name asks for. */
export const restricted = {
  runAsNonRoot: true,
  runAsUser: 65532,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

/** A Pod spec with one agent for each entry. */
export function agents(containers: Readonly<Record<string, readonly Listener[]>>) {
  return {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 2,
    containers: Object.entries(containers).map(([name, listeners]) => agent(name, listeners)),
    volumes: [{ name: source, configMap: { name: source } }],
  };
}

function agent(name: string, listeners: readonly Listener[]) {
  return {
    name,
    image: imageReference('samples'),
    command: ['python3', '/agent/agent.py', 'serve'],
    args: listeners.map(({ protocol, bind, port }) => `${protocol}:${bind}:${port}`),
    env: [{ name: 'AGENT', value: name }],
    ports: listeners
      .filter(({ declared }) => declared)
      .map(({ port, protocol }) => ({ containerPort: port, protocol: protocol.toUpperCase() })),
    resources: { requests: { cpu: '5m', memory: '16Mi' } },
    securityContext: restricted,
    volumeMounts: [{ name: source, mountPath: '/agent' }],
  };
}

/** Two containers that know each other by one port each: all that a life-cycle needs. */
export const pair = agents({
  app: [{ protocol: 'tcp', bind: '::', port: 7001, declared: true }],
  helper: [{ protocol: 'tcp', bind: '127.0.0.1', port: 7002, declared: true }],
});

export type Target = readonly [protocol: 'tcp' | 'udp', address: string, port: number];

/** The answers in the order of the targets, undefined where none came. Runs inside the container. */
export async function call(
  namespace: TestNamespace,
  pod: string,
  container: string,
  targets: readonly Target[],
): Promise<readonly (string | undefined)[]> {
  const command = ['python3', '/agent/agent.py', 'call', JSON.stringify(targets)];
  const ended = await namespace.exec(pod, container, command);
  const answers = JSON.parse(succeeded(ended)) as readonly (string | null)[];
  return answers.map((answer) => answer ?? undefined);
}

export function succeeded(ended: Ended): string {
  if (ended.status !== 0) throw new Error(ended.output.trim());
  return ended.stdout;
}

export interface WorkloadOptions {
  readonly replicas?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Of any kind that has a selector and a template. */
export function workload(kind: string, name: string, podSpec: object, options: WorkloadOptions = {}) {
  const labels = { app: name };
  const { replicas, annotations = {}, spec = {} } = options;
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, labels, annotations },
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: podSpec },
      ...spec,
    },
  };
}

export function barePod(name: string, spec: object, annotations: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name }, annotations }, spec };
}

export const splitMode = { 'podsplit.io/mode': 'split' } as const;
