import type { DeclaredPort } from '../api/flow.ts';

/** Where these programs administer, debug or profile themselves unless they are told otherwise. */
const knownPorts: ReadonlyMap<number, string> = new Map([
  [1099, 'Java RMI'],
  [2019, 'Caddy admin'],
  [2375, 'Docker API'],
  [4191, 'Linkerd proxy admin'],
  [5005, 'Java debugger'],
  [6060, 'Go pprof'],
  [7199, 'Cassandra JMX'],
  [8778, 'Jolokia'],
  [9229, 'Node.js inspector'],
  [9901, 'Envoy admin'],
  [10250, 'kubelet API'],
  [15000, 'Envoy admin'],
]);

const telling = /(^|-)(admin|mgmt|management|manage|debug|pprof|jmx|rmi|jolokia|actuator|console|dashboard)(-|$)/;

/** What the port is for, if that is to administer the program; undefined for all others. */
export function adminPortOf({
  name,
  port,
  protocol,
}: Pick<DeclaredPort, 'name' | 'port' | 'protocol'>): string | undefined {
  if (protocol !== 'tcp') return undefined;
  const known = knownPorts.get(port);
  if (known !== undefined) return known;
  return name !== undefined && telling.test(name) ? 'by its name' : undefined;
}
