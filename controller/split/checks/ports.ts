import type { IPod } from 'kubernetes-models/v1/Pod';
import { maxFlows } from '../../api/annotations.ts';
import { type Flow, formatFlow } from '../../api/flow.ts';
import { userAnnotations } from '../../api/names.ts';
import { annotationsOf, runningContainers, specOf } from '../pod.ts';
import { type DividedSubject, type Finding, type Subject, indexed, piecesToBe } from './subject.ts';

export function unsupportedProtocols({ pod }: Subject): Finding[] {
  return ports(pod)
    .filter(({ protocol }) => protocol !== 'TCP' && protocol !== 'UDP')
    .map(({ path, protocol }) => ({
      path: `${path}.protocol`,
      message: `${protocol} is not carried between pieces.`,
      action: 'Use TCP or UDP, or do not split this Pod.',
    }));
}

export function portsDeclaredTwice({ pod }: Subject): Finding[] {
  return repeated(ports(pod), ({ number, protocol }) => `${number}/${protocol}`).map(({ first, again }) => ({
    path: `${again.path}.containerPort`,
    message: `Port ${again.number}/${again.protocol} of container ${JSON.stringify(again.container)} is declared by container ${JSON.stringify(first.container)} as well: only one of them can listen there.`,
    action: 'Declare it where it is served.',
  }));
}

export function portNamesTwice({ pod }: Subject): Finding[] {
  const named = ports(pod).filter(({ name }) => name !== undefined);
  return repeated(named, ({ name }) => name ?? '').map(({ first, again }) => ({
    path: `${again.path}.name`,
    message: `Port name ${JSON.stringify(again.name)} of container ${JSON.stringify(again.container)} is taken by container ${JSON.stringify(first.container)}.`,
    action: 'Give each port a name of its own.',
  }));
}

interface Port {
  readonly container: string;
  readonly path: string;
  readonly number: number;
  readonly protocol: string;
  readonly name: string | undefined;
}

function ports(pod: IPod): readonly Port[] {
  return piecesToBe(specOf(pod)).flatMap(({ item: container, path }) =>
    indexed(container.ports, `${path}.ports`).map(({ item: port, path }) => ({
      container: container.name,
      path,
      number: port.containerPort,
      protocol: port.protocol ?? 'TCP',
      name: port.name === '' ? undefined : port.name,
    })),
  );
}

/** Each port that another container has already, with the first that had it. */
function repeated(ports: readonly Port[], key: (port: Port) => string): { first: Port; again: Port }[] {
  const seen = new Map<string, Port>();
  return ports.flatMap((again) => {
    const first = seen.get(key(again));
    if (first === undefined) seen.set(key(again), again);
    return first === undefined || first.container === again.container ? [] : [{ first, again }];
  });
}

/** Where every declared port is open to every other container, ports times containers. */
export function tooManyFlows({ pod }: Subject): Finding[] {
  if (Object.hasOwn(annotationsOf(pod), userAnnotations.flows)) return [];
  const count = ports(pod).length * (runningContainers(specOf(pod)).length - 1);
  if (count <= maxFlows) return [];
  return [
    {
      path: 'spec.containers',
      message: `The declared ports, each open to every other container, make ${count} flows; ${maxFlows} fit into the annotations.`,
      action: `List those that are needed in ${userAnnotations.flows}.`,
    },
  ];
}

/** Among declared ports there are none: `portsDeclaredTwice` sees to that. */
export function flowPortConflicts({ pod, division }: DividedSubject): Finding[] {
  if (!Object.hasOwn(annotationsOf(pod), userAnnotations.flows)) return [];
  const path = `metadata.annotations[${userAnnotations.flows}]`;
  const served = new Set(
    [division.primary, ...division.siblings].flatMap((piece) => piece.ports.map((port) => loopback(piece.name, port))),
  );
  const taken = new Map<string, Flow>();
  return division.flows.flatMap((flow): Finding[] => {
    const key = loopback(flow.from, flow);
    const earlier = taken.get(key);
    taken.set(key, flow);
    if (earlier !== undefined) {
      return [
        {
          path,
          message: `${formatFlow(earlier)} and ${formatFlow(flow)} are the same loopback port for ${JSON.stringify(flow.from)}.`,
          action: 'Keep one of them.',
        },
      ];
    }
    if (!served.has(key)) return [];
    return [
      {
        path,
        message: `${formatFlow(flow)} would hide port ${flow.port} of ${JSON.stringify(flow.from)} from itself.`,
        action: 'Remove the flow, or the port from the container that does not serve it.',
      },
    ];
  });
}

function loopback(container: string, { port, protocol }: Pick<Flow, 'port' | 'protocol'>): string {
  return `${container}:${port}/${protocol}`;
}
