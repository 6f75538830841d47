import { userAnnotations } from '../api/names.ts';
import type { Division } from './divide.ts';
import type { Reason } from './plan.ts';

interface Kept extends Pick<Division, 'via'> {
  readonly primary: Pick<Division['primary'], 'name' | 'initContainers'>;
}

/** Of containers that have one way out. */
export function egressReasons({ primary, via }: Kept): readonly Reason[] {
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
      ...(from === primary.name && primary.initContainers.length > 0
        ? [
            reason(
              'EgressBeforeProxy',
              userAnnotations.egressVia,
              `Init containers run where ${from} does, before ${to} is there: they reach nothing outside.`,
            ),
          ]
        : []),
    ];
  });
}
