// The wires: one bridge in the machine's own network namespace, and a veth pair to each node.
//
// The control plane lives in the machine's namespace and reaches Pods by routes through the nodes, in both families:
// so the API server calls webhooks at their Pod's address, and tests may call any Pod directly. Nothing is
// masqueraded and the machine need not forward: no packet of a Pod finds a way to the machine's own networks.

import { bridge, maxNodes, network, node as nodeNames } from './names.ts';
import type { NodeNames } from './names.ts';
import { attempt, run } from './run.ts';

export async function createBridge(count: number): Promise<void> {
  const { host, bits } = network;
  await ip([
    // With an address of its own: a bridge without one changes it as ports come and go, and neighbours go stale.
    `link add ${bridge} address 02:70:73:00:00:01 type bridge mcast_snooping 0`,
    `address add ${host.v4}/${bits.v4} dev ${bridge}`,
    `address add ${host.v6}/${bits.v6} dev ${bridge} nodad`,
    `link set ${bridge} up`,
    ...podRoutes(count),
  ]);
}

/** Deletes the bridge and with it all routes over it; the veth pairs end with their namespaces. */
export async function removeBridge(): Promise<boolean> {
  const removed = await attempt(['ip', 'link', 'delete', bridge]);
  for (let index = 1; index <= maxNodes; index++) await attempt(['ip', 'link', 'delete', nodeNames(index).veth]);
  await attempt(['ip', 'link', 'delete', outsideVeth]);
  return removed;
}

/** Wires the network namespace of a node's init to the bridge. */
export async function connectNode(node: NodeNames, pid: number, count: number): Promise<void> {
  const { bits, outside } = network;
  await plug(node.veth, `02:70:73:00:01:0${node.index}`, pid);
  await ip(
    [
      ...up(`${node.address.v4}/${bits.v4}`, `${node.address.v6}/${bits.v6}`),
      ...podRoutes(count, node.index),
      `route add default via ${outside.v4}`,
      `-6 route add default via ${outside.v6}`,
    ],
    pid,
  );
  await sysctl(pid, [
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
    // For the node's ends of Pods' links; their own is no-dad.sh's business.
    'net.ipv6.conf.default.accept_dad=0',
  ]);
}

const outsideVeth = 'podsplit-out';

/**
 * Wires the namespace that plays the world outside. The nodes' default route ends there; it does not forward, so what
 * goes to a real address of the internet is dropped without a sign, as by a firewall. All addresses of the two
 * documentation ranges are its own: a test that listens in it is "a server somewhere".
 */
export async function connectOutside(pid: number, count: number): Promise<void> {
  const { outside, bits, world } = network;
  await plug(outsideVeth, '02:70:73:00:01:00', pid);
  await ip(
    [
      ...up(`${outside.v4}/${bits.v4}`, `${outside.v6}/${bits.v6}`),
      `route add local ${world.v4} dev lo`,
      `-6 route add local ${world.v6} dev lo`,
      ...podRoutes(count),
    ],
    pid,
  );
}

/** @param address of eth0: it stays a node's, so that its neighbours find it at once when it boots again */
async function plug(veth: string, address: string, pid: number): Promise<void> {
  // A node that was stopped a moment ago may still have its pair: the kernel takes down namespaces at leisure.
  await attempt(['ip', 'link', 'delete', veth]);
  await ip([
    `link add ${veth} type veth peer name eth0 address ${address} netns ${pid}`,
    `link set ${veth} master ${bridge} up`,
  ]);
}

function up(v4: string, v6: string): string[] {
  return [
    'link set lo up',
    `address add ${v4} dev eth0`,
    // No duplicate address detection: the addresses are ours, and it would cost seconds.
    `address add ${v6} dev eth0 nodad`,
    'link set eth0 up',
  ];
}

/** Routes to the Pods of all nodes but `self`. */
function podRoutes(count: number, self?: number): string[] {
  return Array.from({ length: count }, (_, i) => nodeNames(i + 1))
    .filter((node) => node.index !== self)
    .flatMap((node) => [
      `route add ${node.pods.v4} via ${node.address.v4}`,
      `-6 route add ${node.pods.v6} via ${node.address.v6}`,
    ]);
}

/** Runs `ip` commands, in a process's network namespace if one is given. */
async function ip(commands: readonly string[], pid?: number): Promise<void> {
  const enter = pid === undefined ? [] : ['nsenter', `--net=/proc/${pid}/ns/net`, '--'];
  // In a batch the family is an option of each line only as `-6`; ip 6.1 takes it there.
  for (const family of ['-4', '-6']) {
    const lines = commands.filter((line) => line.startsWith('-6 ') === (family === '-6'));
    if (lines.length === 0) continue;
    const input = lines.map((line) => line.replace(/^-6 /, '')).join('\n') + '\n';
    await run([...enter, 'ip', ...(family === '-6' ? ['-6'] : []), '-batch', '-'], { input });
  }
}

async function sysctl(pid: number, settings: readonly string[]): Promise<void> {
  await run(['nsenter', `--net=/proc/${pid}/ns/net`, '--', 'sysctl', '-qw', ...settings]);
}
