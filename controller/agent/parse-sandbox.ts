import {
  array,
  integer,
  ipAddress,
  ipv6Address,
  isRecord,
  macAddress,
  oneOf,
  optional,
  someOf,
  unread,
  type Problem,
  type Reader,
} from '../rules/json-reader.ts';
import { maxListening } from '../rules/observe.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import { netnsFile } from './netns.ts';
import type { PodIdentity } from './cni-request.ts';
import type { Sandbox } from './sandbox.ts';

const name = matching('a name', /^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/);
const hash = matching('a hash', /^[0-9a-f]*$/);
const device = matching('a device', /^[A-Za-z0-9_.@:-]{1,15}$/);

const flag: Reader<boolean> = (value, path, report) => {
  if (typeof value === 'boolean') return value;
  report(path, 'is neither true nor false');
  return unread;
};

const pod: Reader<PodIdentity> = someOf({ namespace: name, name, uid: name });

const sandbox: Reader<Sandbox> = someOf({
  version: oneOf(1),
  id: matching('a container id', /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/),
  network: name,
  netns: matching('a path', /^\//),
  pod,
  split: matching('namespace/id', /^[a-z0-9.-]+\/[a-z0-9]+$/),
  piece: name,
  isPrimary: flag,
  wiring: matching('a wiring', /^\{/),
  local: someOf({ podIPs: array(ipAddress, 64), nodeIPs: array(ipAddress, 256), mtu: optional(integer(68, 65_536)) }),
  listening: optional(array(someOf({ protocol: oneOf('tcp', 'udp'), port: integer(1, 65_535) }), maxListening)),
  host: someOf({
    net1: device,
    eth0: optional(someOf({ device, mac: macAddress, linkLocal: array(ipv6Address, 16) })),
  }),
  links: hash,
  loaded: optional(hash),
});

/**
 * What a file says. All that the agent does to a sandbox later relies on it: a file that says something else is found here,
 * and not in the middle of an audit. Fields that only a later version knows are dropped, so that a rollback leaves the
 * pieces in its hands: kept, they would grow old unseen, and that version has to do without them in files of this one
 * anyway. One that an earlier version must not drop comes with another `version`. A field of the wiring that is unknown
 * may say what is forbidden: rules without it could open what is closed, so that such a file does not read.
 *
 * @param id the container id that the file is named for
 * @throws Error with all that is wrong
 */
export function parseSandbox(text: string, id: string): Sandbox {
  const problems: Problem[] = [];
  const parsed = sandbox(JSON.parse(text), '$', (path, message) => problems.push({ path, message }));
  if (parsed === unread || problems.length > 0) {
    throw new Error(problems.map(({ path, message }) => `${path} ${message}`).join('; '));
  }
  if (parsed.id !== id) throw new Error(`$.id is ${parsed.id}, the file is named for ${id}`);
  const { piece, role } = parseWiring(parsed.wiring);
  if (piece !== parsed.piece || (role === 'primary') !== parsed.isPrimary) {
    throw new Error(`$.wiring is the ${role} ${piece}'s, not that of ${parsed.piece}`);
  }
  netnsFile(parsed.netns);
  return parsed;
}

function matching(what: string, pattern: RegExp): Reader<string> {
  return (value, path, report) => {
    if (typeof value === 'string' && pattern.test(value)) return value;
    report(path, `is not ${what}`);
    return unread;
  };
}

/** Of a file that does not read, as far as it can be told: which Pod's it is, and the wiring that is in force. */
export function salvage(text: string): { readonly pod?: PodIdentity; readonly wiring?: string } {
  try {
    const json: unknown = JSON.parse(text);
    if (!isRecord(json)) return {};
    const found = pod(json['pod'], '$.pod', () => undefined);
    const { wiring } = json;
    return { ...(found === unread ? {} : { pod: found }), ...(typeof wiring === 'string' ? { wiring } : {}) };
  } catch {
    return {};
  }
}
