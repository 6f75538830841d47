import { readdir, readFile } from 'node:fs/promises';
import { isRecord } from '../api/json.ts';
import type { Host } from '../netns/host.ts';
import { ip } from '../netns/load.ts';
import type { HostEnds } from './sandbox.ts';

const podInterface = 'eth0';

/**
 * The host end of eth0, whichever CNI made it: a veth's `link_index` is the index of its peer, here in the node's network
 * namespace. Undefined where eth0 is no veth (macvlan, SR-IOV, …) or not there.
 */
export async function hostEndOfEth0(netns: Host): Promise<HostEnds['eth0']> {
  const listed: unknown = JSON.parse(await ip(['-json', '-details', 'address', 'show', 'dev', podInterface], netns));
  const eth0: unknown = Array.isArray(listed) ? listed[0] : undefined;
  const info = isRecord(eth0) ? eth0['linkinfo'] : undefined;
  if (!isRecord(eth0) || !isRecord(info) || info['info_kind'] !== 'veth') return undefined;
  const device = await deviceAt(Number(eth0['link_index']));
  return device === undefined ? undefined : { device, mac: String(eth0['address']), linkLocal: linkLocalOf(eth0) };
}

/** Not all follow from the MAC (RFC 7217). */
function linkLocalOf(link: Readonly<Record<string, unknown>>): readonly string[] {
  const infos: readonly unknown[] = Array.isArray(link['addr_info']) ? link['addr_info'] : [];
  return infos.flatMap((info) =>
    isRecord(info) && info['family'] === 'inet6' && info['scope'] === 'link' ? [String(info['local'])] : [],
  );
}

/** Read in sysfs, which shows the node's devices to a container in the node's network. */
async function deviceAt(index: number): Promise<string | undefined> {
  const folder = '/sys/class/net';
  for (const name of await readdir(folder)) {
    const text = await readFile(`${folder}/${name}/ifindex`, 'utf8').catch(() => '');
    if (Number(text) === index) return name;
  }
  return undefined;
}
