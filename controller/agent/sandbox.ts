import type { Listening } from '../rules/observe.ts';
import type { Local } from '../rules/wiring.ts';

/**
 * One sandbox of a piece on this node, from the ADD that loaded its rules until its DEL. It is kept as a file too, because
 * nobody but the runtime knows which network namespace is whose, and it says so once.
 */
export interface Sandbox {
  readonly version: 1;
  /** CNI's container id. */
  readonly id: string;
  /** Of the network: the NAD's name. */
  readonly network: string;
  readonly netns: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** `namespace/splitId`: pieces with the same one belong together. */
  readonly split: string;
  readonly piece: string;
  readonly isPrimary: boolean;
  /** The wiring as it was verified, in its canonical text. It changes when flows do; its addresses never. */
  readonly wiring: string;
  readonly local: Local;
  /** While it is observed: the ports at which its programs have listened. Open to its peers. */
  readonly listening?: readonly Listening[];
  readonly host: HostEnds;
  /** Hash of the `ip` lines that were run: they are run again only when they change. */
  readonly links: string;
  /**
   * Hash of the tables that were loaded last. If it is another than that of the tables there should be, nobody has edited
   * anything: flows changed while no agent ran, an agent of another version compiles other rules, or a change failed. Absent
   * until the first load is proved.
   */
  readonly loaded?: string;
}

export interface HostEnds {
  readonly net1: string;
  /** Absent where eth0 is no veth: then nothing is filtered there. */
  readonly eth0?: { readonly device: string; readonly mac: string; readonly linkLocal: readonly string[] };
}

/** Names the sandbox's table on the node. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}
