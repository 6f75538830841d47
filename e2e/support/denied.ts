// What a piece's own table has dropped, as nft lists it on the node: in both install modes, whoever carries it further.

import { isRecord } from '../../controller/api/json.ts';

export interface Denial {
  readonly interface: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number;
  readonly packets: number;
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
