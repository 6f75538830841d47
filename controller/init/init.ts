import { checkPeerLink, describesThisSandbox, peerLink, type Interface } from '../netns/facts.ts';
import type { Host } from '../netns/host.ts';
import { loadTable, setLinks } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { readInterfaces, readLocal } from '../netns/read.ts';
import { closedTable } from '../rules/closed.ts';
import { compileTable } from '../rules/compile.ts';
import { ownFamilies } from '../rules/model.ts';
import { tableName } from '../rules/nft.ts';
import { sysctlsFor } from '../rules/sysctls.ts';
import { parseWiring, WiringError } from '../rules/wiring-json.ts';
import type { Local, Wiring } from '../rules/wiring.ts';

export interface InitOptions {
  /** The annotation podsplit.io/wiring, as the downward API's volume shows it. */
  readonly wiringFile: string;
  readonly terminationLog: string;
  /** Addresses of the node. */
  readonly hostIPs: readonly string[];
  /** Milliseconds. */
  readonly pollInterval: number;
  /** Milliseconds. */
  readonly reportInterval: number;
}

/**
 * Runs before the piece's first process: closes the network namespace, waits for the wiring, opens exactly what it says
 * and proves it. Resolves to the hash of the wiring, which is the container's termination message too. Rejects with
 * `NetnsError`; waiting never does.
 */
export async function runInit(options: InitOptions, host: Host): Promise<string> {
  // Closing the wrong network namespace, a node's for one, would cut it off: only a piece has this volume.
  if ((await host.read(options.wiringFile)) === undefined) {
    throw new NetnsError(
      'NotAPiece',
      `no file ${options.wiringFile}: podsplit init runs in the Pods that podsplit makes`,
    );
  }
  await loadTable(closedTable, host);
  host.log('info', 'closed', { table: tableName });
  const { wiring, local } = await awaitWiring(options, host);
  await checkSysctls(wiring, host);

  // Rules before routes: while one is there without the other, packets are dropped and not misled.
  const table = compileTable(wiring, local);
  await loadTable(table, host);
  await setLinks(wiring, local, host);

  await host.write(options.terminationLog, table.marker);
  host.log('info', 'wired', { piece: wiring.piece, role: wiring.role, wiring: table.marker, local });
  return table.marker;
}

interface Wired {
  readonly wiring: Wiring;
  readonly local: Local;
}

/** The downward API swaps a symlink two directories up, which file watchers miss: the file is read again and again. */
async function awaitWiring(options: InitOptions, host: Host): Promise<Wired> {
  const net1 = peerLink(await readInterfaces(host));
  const since = host.now();
  let reported = -Infinity;
  for (;;) {
    const step = await look(options, net1, host);
    if (typeof step !== 'string') return step;
    if (host.now() - reported >= options.reportInterval) {
      reported = host.now();
      host.log('info', `waiting for ${step}`, { seconds: Math.round((reported - since) / 1000) });
    }
    await host.sleep(options.pollInterval);
  }
}

/** What to do, or what is not there yet. */
async function look(options: InitOptions, net1: Interface, host: Host): Promise<Wired | string> {
  const text = (await host.read(options.wiringFile)) ?? '';
  // The volume shows an annotation that is not there as an empty file.
  if (text.trim() === '') return 'the annotation podsplit.io/wiring';
  const wiring = readWiring(text);
  checkPeerLink(net1, wiring);
  if (wiring.release === 'hold') return 'the release: other pieces of the Pod are not there yet';
  const local = await readLocal(options.hostIPs, host);
  if (!describesThisSandbox(wiring, local)) {
    return `a wiring of this sandbox: its Pod IPs are ${local.podIPs.join(', ')}, not ${wiring.self.podIPs?.join(', ') ?? ''}`;
  }
  return { wiring, local };
}

function readWiring(text: string): Wiring {
  try {
    return parseWiring(text);
  } catch (error) {
    if (error instanceof WiringError) throw new NetnsError('InvalidWiring', error.message);
    throw error;
  }
}

/** /proc/sys is read-only here: a missing sysctl means a NAD that podsplit did not make. */
async function checkSysctls(wiring: Wiring, host: Host): Promise<void> {
  for (const [key, wanted] of Object.entries(sysctlsFor(ownFamilies(wiring.self)))) {
    const name = key.replace('IFNAME', 'net1');
    const found = (await host.read(`/proc/sys/${name.replaceAll('.', '/')}`))?.trim();
    if (found !== wanted) {
      throw new NetnsError(
        'SysctlMissing',
        `${name} is ${found ?? 'not there'}, not ${wanted}: see the NAD's tuning plugin`,
      );
    }
  }
}
