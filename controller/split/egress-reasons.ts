import { userAnnotations } from '../api/names.ts';
import type { Division } from './divide.ts';
import type { Reason } from './plan.ts';

interface Kept extends Pick<Division, 'via' | 'startOrder'> {
  readonly primary: Pick<Division['primary'], 'name' | 'initContainers'>;
}

/** All TCP of somebody is carried to a proxy, whatever flows there are: that nobody reaches another is not true then. */
export function isCarried(via: Kept['via']): boolean {
  return via.some(({ port }) => port !== undefined);
}

/** Of containers that have one way out. */
export function egressReasons({ primary, via, startOrder }: Kept): readonly Reason[] {
  const inits = new Set(primary.initContainers.map(({ name }) => name));
  // A proxy that is a native sidecar serves the init containers that come after it.
  const runsBefore = (proxy: string): boolean => {
    const place = startOrder.indexOf(proxy);
    return startOrder.slice(0, place < 0 ? undefined : place).some((name) => inits.has(name));
  };
  return via.flatMap(({ from, to, port, dns }) => {
    const reason = (code: string, annotation: string, message: string): Reason => ({
      code,
      piece: from,
      path: `metadata.annotations[${annotation}]`,
      message,
    });
    const how =
      port === undefined
        ? `Container ${from} calls ${to} by the flows, and nothing else leaves it.`
        : `All TCP of container ${from} is carried to port ${port} of ${to}, and nothing else leaves it.`;
    return [
      reason('EgressVia', userAnnotations.egressVia, how),
      ...(dns === 'none'
        ? [
            reason(
              'EgressWithoutDns',
              userAnnotations.egressDns,
              `Container ${from} resolves no names: it leaves that to ${to}, or set the annotation to "cluster" or "proxy".`,
            ),
          ]
        : []),
      ...(from === primary.name && runsBefore(to)
        ? [
            reason(
              'EgressBeforeProxy',
              userAnnotations.egressVia,
              `Init containers that run where ${from} does, before ${to} is there, reach nothing outside.`,
            ),
          ]
        : []),
    ];
  });
}
