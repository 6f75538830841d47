import { sameFlow } from '../api/flow.ts';
import type { ObservedUse } from '../api/resources.ts';
import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { parseIsolateWiring, type IsolateWiring } from '../rules/isolate-wiring.ts';
import type { Attempt } from './denials.ts';
import { isInside, meantFor } from './isolate-parties.ts';
import type { IsolatedSandbox } from './isolate-sandbox.ts';
import { inNetns } from './netns.ts';
import { together, type UseLedger, type UseOfPod } from './use-ledger.ts';

/**
 * What the containers of an isolated Pod used of each other and beyond it. The kernel knows who answers TCP. Of a datagram it
 * does not know who takes it, nor whether somebody does: flows say it, who declares the port, and else who has a socket there.
 */
export async function isolateUsesOf(
  ledger: UseLedger,
  sandbox: IsolatedSandbox,
  node: Host,
): Promise<readonly ObservedUse[]> {
  const wiring = parseIsolateWiring(sandbox.wiring);
  const uids = await readReceivers(inNetns(sandbox.netns, node));
  const useOf = (use: Attempt): UseOfPod => isolateUse(use, wiring, sandbox.local.podIPs, uids);
  // Its own calls are nobody's business.
  return together(ledger, useOf).filter(({ from, to }) => from !== to);
}

/** @param uids by UDP port: whose sockets take datagrams there */
export function isolateUse(
  use: Attempt,
  wiring: Pick<IsolateWiring, 'containers' | 'flows'>,
  podIPs: readonly string[],
  uids: ReadonlyMap<number, number>,
): UseOfPod {
  const { to: address, port, protocol } = use;
  const { containers, flows } = wiring;
  const mark = Number(use.interfaceName);
  const nameOf = (number: number): string | undefined => containers[number - 1]?.name;
  const from = nameOf(mark & 0xff) ?? 'nobody';
  const network = isInside(address, podIPs) ? 'loopback' : 'pod';
  if (network === 'pod') return { from, to: address, port, protocol, network, wouldDeny: false };
  const to =
    nameOf(mark >> 8) ??
    meantFor(wiring, from, use) ??
    containers.find(({ uid }) => uid === uids.get(port))?.name ??
    address;
  const flow = { from, to, port, protocol };
  return { ...flow, network, wouldDeny: !flows.some((one) => sameFlow(one, flow)) };
}

async function readReceivers(inside: Host): Promise<ReadonlyMap<number, number>> {
  const listed = await inside.run(['ss', '-Hlnue']);
  if (listed.status !== 0) throw new NetnsError('SsFailed', `ss: ${listed.stderr.trim()}`);
  return parseReceivers(listed.stdout);
}

/** Of `ss -Hlnue` (iproute2): UID by UDP port. Root's sockets show none. */
export function parseReceivers(text: string): ReadonlyMap<number, number> {
  return new Map(
    text.split('\n').flatMap((line): readonly [number, number][] => {
      const [, , , local = ''] = line.trim().split(/\s+/);
      const port = Number(/:(?<number>\d+)$/.exec(local)?.groups?.['number']);
      const uid = Number(/ uid:(?<uid>\d+) /.exec(line)?.groups?.['uid']);
      return Number.isInteger(port) && Number.isInteger(uid) ? [[port, uid]] : [];
    }),
  );
}
