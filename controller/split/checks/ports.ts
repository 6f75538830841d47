import type { IPod } from 'kubernetes-models/v1/Pod';
import { formatFlow } from '../../api/flow.ts';
import { userAnnotations } from '../../api/names.ts';
import { annotationsOf, specOf } from '../pod.ts';
import { type DividedSubject, type Finding, type Subject, indexed } from './subject.ts';

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
  return indexed(specOf(pod).containers, 'spec.containers').flatMap(({ item: container, path }) =>
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

/** Among declared ports there are none: `portsDeclaredTwice` sees to that. */
export function flowPortConflicts({ pod, division }: DividedSubject): Finding[] {
  if (!Object.hasOwn(annotationsOf(pod), userAnnotations.flows)) return [];
  const path = `metadata.annotations[${userAnnotations.flows}]`;
  const pieces = [division.primary, ...division.siblings];
  return division.flows.flatMap((flow, index): Finding[] => {
    const same = (other: { readonly port: number; readonly protocol: string }): boolean =>
      other.port === flow.port && other.protocol === flow.protocol;
    const earlier = division.flows
      .slice(0, index)
      .find((other) => other.from === flow.from && other.to !== flow.to && same(other));
    if (earlier !== undefined) {
      return [
        {
          path,
          message: `${formatFlow(earlier)} and ${formatFlow(flow)} are the same loopback port for ${JSON.stringify(flow.from)}.`,
          action: 'Keep one of them.',
        },
      ];
    }
    const own = pieces.find((piece) => piece.name === flow.from)?.ports.find(same);
    if (own === undefined) return [];
    return [
      {
        path,
        message: `${formatFlow(flow)} would hide port ${flow.port} of ${JSON.stringify(flow.from)} from itself.`,
        action: 'Remove the flow, or the port from the container that does not serve it.',
      },
    ];
  });
}
