import type { ObservedUse } from '../api/resources.ts';
import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { parseIsolateWiring, type IsolateWiring } from '../rules/isolate-wiring.ts';
import type { Attempt } from './denials.ts';
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
  { interfaceName, to: address, port, protocol }: Attempt,
  { containers, flows }: Pick<IsolateWiring, 'containers' | 'flows'>,
  podIPs: readonly string[],
  uids: ReadonlyMap<number, number>,
): UseOfPod {
  const mark = Number(interfaceName);
  const nameOf = (number: number): string | undefined => containers[number - 1]?.name;
  const from = nameOf(mark & 0xff) ?? 'nobody';
  const network = address.startsWith('127.') || address === '::1' || podIPs.includes(address) ? 'loopback' : 'pod';
  if (network === 'pod') return { from, to: address, port, protocol, network, wouldDeny: false };
  const to =
    nameOf(mark >> 8) ??
    flows.find((flow) => flow.from === from && flow.port === port && flow.protocol === protocol)?.to ??
    containers.find(({ ports }) => ports.some((own) => own.port === port && own.protocol === protocol))?.name ??
    containers.find(({ uid }) => uid === uids.get(port))?.name ??
    address;
  const allowed = flows.some(
    (flow) => flow.from === from && flow.to === to && flow.port === port && flow.protocol === protocol,
  );
  return { from, to, port, protocol, network, wouldDeny: !allowed };
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
