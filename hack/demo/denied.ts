// What a piece's own table has dropped, read as an administrator may on any cluster: by an ephemeral container with
// NET_ADMIN. The containers of the Pod have no such right, so nobody whom the table denies can read or reset it.

import { join } from 'node:path';
import { isRecord } from '../../controller/api/json.ts';
import { kubectl } from './command.ts';

export interface Denial {
  readonly interface: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number;
  readonly packets: number;
}

const profile = join(import.meta.dirname, 'rules-reader.json');

/** Announces the command first. */
export async function readDenials(
  namespace: string,
  pod: string,
  image: string,
  announce: (args: readonly string[]) => void,
): Promise<readonly Denial[]> {
  // An ephemeral container is never removed, so each reading has a name of its own.
  const containerName = `rules-reader-${Date.now().toString(36)}`;
  const inNamespace = ['-n', namespace];
  const container = ['--image', image, '--image-pull-policy=IfNotPresent', `--container=${containerName}`];
  const debug = [...inNamespace, 'debug', pod, ...container, '--profile=general'];
  const command = ['--', 'nft', '-j', 'list', 'table', 'inet', 'podsplit'];
  announce([...debug, '--custom=hack/demo/rules-reader.json', ...command]);
  await kubectl([...debug, `--custom=${profile}`, ...command]);
  const ended = `jsonpath={.status.ephemeralContainerStatuses[?(@.name=="${containerName}")].state.terminated.exitCode}=0`;
  await kubectl([...inNamespace, 'wait', `pod/${pod}`, `--for=${ended}`, '--timeout=30s']);
  return parseDenials(await kubectl([...inNamespace, 'logs', pod, '-c', containerName]));
}

/** IANA protocol numbers: nft's JSON has them bare where a set's type is inet_proto. */
const protocols: Readonly<Record<string, string>> = { 6: 'tcp', 17: 'udp' };

/** The sets `tried4` and `tried6` of libnftables-json(5), the busiest first. */
export function parseDenials(json: string): readonly Denial[] {
  const list: unknown = JSON.parse(json);
  const objects: readonly unknown[] = isRecord(list) && Array.isArray(list['nftables']) ? list['nftables'] : [];
  const sets = objects.flatMap((object) => (isRecord(object) && isRecord(object['set']) ? [object['set']] : []));
  const elements = sets
    .filter((set) => set['name'] === 'tried4' || set['name'] === 'tried6')
    .flatMap((set): readonly unknown[] => (Array.isArray(set['elem']) ? set['elem'] : []));
  return elements.flatMap(parseElement).sort((a, b) => b.packets - a.packets);
}

function parseElement(value: unknown): readonly Denial[] {
  if (!isRecord(value) || !isRecord(value['elem'])) return [];
  const { val, counter } = value['elem'];
  if (!isRecord(val) || !isRecord(counter)) return [];
  const fields: readonly unknown[] = Array.isArray(val['concat']) ? val['concat'] : [];
  const [interfaceName = '', source = '', target = '', transport = '', port = ''] = fields.map(String);
  const packets = Number(counter['packets']);
  return [
    {
      interface: interfaceName,
      from: source,
      to: target,
      protocol: protocols[transport] ?? transport,
      port: Number(port),
      packets,
    },
  ];
}

export function formatDenial(denial: Denial): string {
  const { from, to, protocol, port, packets } = denial;
  return `${denial.interface}: ${from} -> ${to} ${protocol}/${port}, ${packets} packet${packets === 1 ? '' : 's'} dropped`;
}
