// Pods that attack each other from their first instruction, and what came of it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownLabels } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { restricted, splitMode, workload } from './agents.ts';
import { eventually } from './eventually.ts';
import type { TestNamespace } from './namespace.ts';
import { podIPs, type Pod } from './objects.ts';
import { addressesOf, peerAddresses, splitPods, type SplitPod } from './pieces.ts';

/** To be applied first: the program of both containers. */
export const raceProgram = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'race' },
  data: { 'race.py': readFileSync(join(import.meta.dirname, 'race.py'), 'utf8') },
};

/** Which container is the primary, whose Pod starts before the other's. */
export type First = 'attacker' | 'victim';

/** A Deployment of attackers and victims. The victim declares one of its two ports, so that one flow is open. */
export function racers(name: string, replicas: number, first?: First) {
  const annotations = first === undefined ? {} : { ...splitMode, 'podsplit.io/primary': first };
  const spec = {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    containers: [racer('attacker', 'attack', []), racer('victim', 'victim', [{ containerPort: 7201 }])],
    volumes: [{ name: 'race', configMap: { name: 'race' } }],
  };
  return workload('Deployment', name, spec, { replicas, annotations });
}

function racer(name: First, role: string, ports: readonly object[]) {
  return {
    name,
    image: imageReference('samples'),
    // Without site packages: the first knock is a few milliseconds after the exec.
    command: ['python3', '-I', '-S', '-u', '/race/race.py', role],
    env: [{ name: 'POD_IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } }],
    ports,
    resources: { requests: { cpu: '2m', memory: '12Mi' } },
    securityContext: restricted,
    volumeMounts: [{ name: 'race', mountPath: '/race' }],
  };
}

/** What an attacker tells at its end: see race.py. */
export interface Report {
  readonly firstRoundMs: number;
  readonly targets: readonly string[];
  readonly tried: Readonly<Record<'udp' | 'tcp', number>>;
  /** By the address at which the victim was asked; its words, or what was in the way. */
  readonly arrived: Readonly<Record<'127.0.0.1' | '::1', Readonly<Record<string, number>> | string>>;
}

/** Of the attackers that `selector` names, until there are so many, by Pod. */
export function reports(
  namespace: TestNamespace,
  selector: string,
  pods: ReadonlySet<string>,
): Promise<ReadonlyMap<string, Report>> {
  return eventually(`${pods.size} attackers tell how it went`, async () => {
    const options = ['--prefix', '--tail=1', '--max-log-requests=100', '--ignore-errors'];
    const logs = await namespace.kubectl(['logs', '-l', selector, '-c', 'attacker', ...options]);
    const lines = logs.split('\n').flatMap((line): readonly (readonly [string, Report])[] => {
      const [, pod = '', json] = /^\[pod\/([^/]+)\/attacker\] (\{.*\})$/.exec(line) ?? [];
      return json === undefined || !pods.has(pod) ? [] : [[pod, JSON.parse(json) as Report]];
    });
    if (lines.length < pods.size) throw new Error(`${lines.length} did`);
    return new Map(lines);
  });
}

/** One split Pod after the race. */
export interface Outcome {
  readonly split: SplitPod;
  readonly report: Report;
}

/** Of Deployments that are ready. */
export async function outcomes(namespace: TestNamespace, names: readonly string[]): Promise<readonly Outcome[]> {
  const splits = (await Promise.all(names.map((name) => splitPods(namespace, name)))).flat();
  const attackers = new Set(splits.map(({ pieces }) => pieces.get('attacker')!.metadata.name));
  const told = await reports(namespace, `${ownLabels.container}=attacker`, attackers);
  return splits.map((split) => ({ split, report: told.get(split.pieces.get('attacker')!.metadata.name)! }));
}

/**
 * What must not have arrived. An attacker of another split Pod is a stranger to a primary, whose eth0 is an ordinary Pod's;
 * a sibling takes calls of its peers and of nobody else.
 */
export function forbidden({ split, report }: Outcome, all: readonly Outcome[]): readonly string[] {
  const { primary, pieces } = split;
  const isPrimary = pieces.get('victim')!.metadata.uid === primary.metadata.uid;
  const strangers = all
    .filter((other) => other.split !== split)
    .flatMap((other) => podIPs(other.split.pieces.get('attacker')!));
  return Object.values(report.arrived)
    .flatMap((arrived) => (typeof arrived === 'string' ? [] : Object.entries(arrived)))
    .filter(([from]) => !(isPrimary && strangers.includes(from.split(' ')[1] ?? '')))
    .map(([from, packets]) => `${primary.metadata.name}: ${packets} by ${from}`);
}

/** Did the attacker try every address of its victim? */
export function aimedAt({ split, report }: Outcome, network: 'pod' | 'peer'): boolean {
  const victim: Pod = split.pieces.get('victim')!;
  const addresses = network === 'peer' ? peerAddresses(victim) : podIPs(victim);
  if (addressesOf(victim).length !== 4)
    throw new Error(`${victim.metadata.name} has not both families on both networks`);
  return addresses.every((address) => report.targets.includes(address));
}
