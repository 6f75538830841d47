import {
  array,
  integer,
  ipAddress,
  object,
  oneOf,
  optional,
  unread,
  type Problem,
  type Reader,
} from '../rules/json-reader.ts';
import { parseIsolateWiring } from '../rules/isolate-wiring.ts';
import type { Local } from '../rules/wiring.ts';
import { netnsFile } from './netns.ts';

/** One sandbox of an isolated Pod on this node, from the ADD that loaded its rules until its DEL; kept as a file too. */
export interface IsolatedSandbox {
  readonly version: 1;
  readonly mode: 'isolate';
  /** CNI's container id. */
  readonly id: string;
  /** Of the network: the NAD's name. */
  readonly network: string;
  readonly netns: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** `namespace/splitId`: names its PodSplit. */
  readonly split: string;
  /** There are no siblings: all that is said of the Pod is said by this one. */
  readonly isPrimary: true;
  /** Canonical text. It changes when flows and policies do; its containers and UIDs never. */
  readonly wiring: string;
  readonly local: Local;
  /** Hash of the table that was loaded last; absent until the first load is proved. */
  readonly loaded?: string;
}

const word: Reader<string> = (value, path, report) => {
  if (typeof value === 'string' && value !== '') return value;
  report(path, 'is no text');
  return unread;
};

const always: Reader<true> = (value, path, report) => {
  if (value === true) return value;
  report(path, 'is not true');
  return unread;
};

const sandbox: Reader<IsolatedSandbox> = object({
  version: oneOf(1),
  mode: oneOf('isolate'),
  id: word,
  network: word,
  netns: word,
  pod: object({ namespace: word, name: word, uid: word }),
  split: word,
  isPrimary: always,
  wiring: word,
  local: object({ podIPs: array(ipAddress, 64), nodeIPs: array(ipAddress, 256), mtu: optional(integer(68, 65_536)) }),
  loaded: optional(word),
});

/**
 * @param id the container id that the file is named for
 * @throws Error with all that is wrong
 */
export function parseIsolatedSandbox(text: string, id: string): IsolatedSandbox {
  const problems: Problem[] = [];
  const parsed = sandbox(JSON.parse(text), '$', (path, message) => problems.push({ path, message }));
  if (parsed === unread || problems.length > 0) {
    throw new Error(problems.map(({ path, message }) => `${path} ${message}`).join('; '));
  }
  if (parsed.id !== id) throw new Error(`$.id is ${parsed.id}, the file is named for ${id}`);
  parseIsolateWiring(parsed.wiring);
  netnsFile(parsed.netns);
  return parsed;
}
