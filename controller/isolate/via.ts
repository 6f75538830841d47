import type { IntendedVia } from '../api/egress-via.ts';
import type { DeclaredPort } from '../api/flow.ts';
import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { carriedTo } from '../rules/via-model.ts';

const path = `metadata.annotations[${userAnnotations.egressVia}]`;

/**
 * @param beside containers that run at the same time
 * @param ports that they declare
 */
export function checkVia(
  via: readonly IntendedVia[],
  beside: readonly string[],
  ports: readonly DeclaredPort[],
): readonly Refusal[] {
  return [...notBeside(via, beside), ...portConflicts(via, ports)];
}

function notBeside(via: readonly IntendedVia[], beside: readonly string[]): readonly Refusal[] {
  const named = new Set(via.flatMap(({ from, to }) => [from, to]));
  return [...named]
    .filter((name) => !beside.includes(name))
    .map((name) => ({
      code: 'InvalidEgressVia',
      path,
      message: `Init container ${JSON.stringify(name)} ends before the others begin.`,
      action: 'Name containers, or init containers that are restarted always.',
    }));
}

/** Containers of one Pod share their ports: where one proxy listens, no other container can. */
function portConflicts(via: readonly IntendedVia[], ports: readonly DeclaredPort[]): readonly Refusal[] {
  const owners = new Map(ports.map(({ port, protocol, container }) => [`${port}/${protocol}`, container]));
  return via.flatMap((each) =>
    carriedTo(each).flatMap(({ port, protocol }): readonly Refusal[] => {
      const key = `${port}/${protocol}`;
      const owner = owners.get(key) ?? each.to;
      owners.set(key, owner);
      if (owner === each.to) return [];
      const [from, to, whose] = [each.from, each.to, owner].map((name) => JSON.stringify(name));
      return [
        {
          code: 'FlowPortConflict',
          path,
          message: `What ${from} sends is carried to ${key} of ${to}, and that is a port of ${whose}: containers of one Pod share their ports.`,
          action: 'Correct the container or the port.',
        },
      ];
    }),
  );
}
