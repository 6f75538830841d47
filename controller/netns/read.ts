import type { Local } from '../rules/wiring.ts';
import { localFacts, parseGateways, parseInterfaces, type Interface } from './facts.ts';
import type { Host } from './host.ts';
import { ip } from './load.ts';

/** @param hostIPs addresses of the node, which the network namespace cannot tell */
export async function readLocal(hostIPs: readonly string[], host: Host): Promise<Local> {
  return localFacts(await readInterfaces(host), [...hostIPs, ...(await readGateways(host))]);
}

export async function readInterfaces(host: Host): Promise<readonly Interface[]> {
  return parseInterfaces(await ip(['-json', 'address', 'show'], host));
}

export async function readGateways(host: Host): Promise<readonly string[]> {
  const tables = await Promise.all(
    ['-4', '-6'].map((family) => ip([family, '-json', 'route', 'show', 'default'], host)),
  );
  return tables.flatMap(parseGateways);
}
