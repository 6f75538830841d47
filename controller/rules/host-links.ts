import type { HostSide } from './host.ts';

/**
 * Input of `bridge -batch -`, for the node's end of net1. A bridge sends a frame whose destination it does not know to
 * every port, and then a piece that listens hears what its peers say to each other. Who has which MAC is known: nothing is
 * learned, and nothing flooded. Both link modes need it, as a bridge has a port of the node's too.
 */
export function hostLinks({ wiring, net1 }: HostSide): readonly string[] {
  return [
    `link set dev ${net1.device} learning off flood off mcast_flood off bcast_flood off`,
    `fdb replace ${wiring.self.mac} dev ${net1.device} master static`,
  ];
}
