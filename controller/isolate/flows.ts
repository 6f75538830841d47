import { formatFlow, type DeclaredPort, type Flow } from '../api/flow.ts';
import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';

/**
 * Containers share their ports: at one there is one container. For UDP it decides who gets a datagram before anybody has
 * answered, so a flow must not name another container than the one that serves the port.
 */
export function checkFlows(flows: readonly Flow[], ports: readonly DeclaredPort[]): readonly Refusal[] {
  const owners = new Map(ports.map((port) => [keyOf(port), port.container]));
  return flows.flatMap((flow): Refusal[] => {
    const owner = owners.get(keyOf(flow));
    if (owner === undefined) owners.set(keyOf(flow), flow.to);
    if (owner === undefined || owner === flow.to) return [];
    return [
      {
        code: 'FlowPortConflict',
        path: `metadata.annotations[${userAnnotations.flows}]`,
        message: `${formatFlow(flow)} names a port of container ${JSON.stringify(owner)}: containers of one Pod share their ports.`,
        action: 'Correct the container or the port.',
      },
    ];
  });
}

function keyOf({ port, protocol }: { readonly port: number; readonly protocol: string }): string {
  return `${port}/${protocol}`;
}
