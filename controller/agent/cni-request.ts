import { isRecord } from '../api/json.ts';
import { AgentError } from './agent-error.ts';

/** One call of the plugin: CNI specification 1.1, section 2 "Execution Protocol". cni/README.md has the wire format. */
export interface CniRequest {
  readonly command: CniCommand;
  readonly containerID: string;
  /** Path of the network namespace; empty where the runtime gives none, as a DEL may. */
  readonly netns: string;
  readonly ifname: string;
  readonly pod: PodIdentity | undefined;
  readonly config: PluginConfig;
}

const commands = ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS'] as const;
export type CniCommand = (typeof commands)[number];

/** What the container runtime says in CNI_ARGS. */
export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const phases = ['close', 'wire', 'isolate'] as const;
export type Phase = (typeof phases)[number];

export interface PluginConfig {
  readonly cniVersion: string;
  /** Of the network: the NAD's name. */
  readonly name: string;
  /** `close` is called before net1 is made, `wire` after; `isolate` is the only call where there is no net1. */
  readonly phase: Phase;
  readonly prevResult: unknown;
  /** GC: the attachments that are to stay. */
  readonly validAttachments: readonly Attachment[];
}

export interface Attachment {
  readonly containerID: string;
  readonly ifname: string;
}

/** @throws AgentError BadRequest, with the field's path */
export function parseCniRequest(text: string): CniRequest {
  const request = record(parseJson(text), 'the request');
  if (request['version'] !== 1) {
    throw new AgentError(
      'BadRequest',
      `version is ${JSON.stringify(request['version'])}, the agent speaks 1: the plugin on this node is of another podsplit`,
    );
  }
  const command = commands.find((name) => name === request['command']);
  if (command === undefined) throw bad('command', request['command'], commands.join(', '));
  const isPerSandbox = command === 'ADD' || command === 'CHECK' || command === 'DEL';
  return {
    command,
    containerID: isPerSandbox ? containerID(request['containerID']) : '',
    netns: string(request['netns'], 'netns'),
    ifname: string(request['ifname'], 'ifname'),
    pod: podOf(string(request['args'], 'args')),
    config: parseConfig(record(request['config'], 'config'), command),
  };
}

function parseConfig(config: Readonly<Record<string, unknown>>, command: CniCommand): PluginConfig {
  const phase = phases.find((name) => name === config['phase']);
  // STATUS and GC are about the node, whichever of the two places in the chain they come from.
  if (phase === undefined && command !== 'STATUS' && command !== 'GC') {
    throw bad('config.phase', config['phase'], phases.join(', '));
  }
  const valid = config['cni.dev/valid-attachments'];
  // Absent is not empty: everything of this network would be taken for gone.
  if (command === 'GC' && !Array.isArray(valid)) throw bad('config.cni.dev/valid-attachments', valid, 'an array');
  return {
    cniVersion: string(config['cniVersion'], 'config.cniVersion'),
    name: string(config['name'], 'config.name'),
    phase: phase ?? 'wire',
    prevResult: config['prevResult'],
    validAttachments: (Array.isArray(valid) ? valid : []).map((each: unknown, index) => {
      const path = `config.cni.dev/valid-attachments[${index}]`;
      const attachment = record(each, path);
      return {
        containerID: string(attachment['containerID'], `${path}.containerID`),
        ifname: string(attachment['ifname'], `${path}.ifname`),
      };
    }),
  };
}

/** It becomes part of a file's and a table's name. CNI specification 1.1, section 2: letters, digits, `_`, `.`, `-`. */
function containerID(value: unknown): string {
  const text = string(value, 'containerID');
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(text)) return text;
  throw bad('containerID', text, 'letters, digits, "_", "." and "-"');
}

/** `A=1;B=2`, as containerd and CRI-O write it. */
function podOf(args: string): PodIdentity | undefined {
  const values = new Map(
    args.split(';').map((pair) => {
      const equals = pair.indexOf('=');
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
  const [namespace, name, uid] = ['K8S_POD_NAMESPACE', 'K8S_POD_NAME', 'K8S_POD_UID'].map((key) => values.get(key));
  return namespace === undefined || name === undefined || uid === undefined ? undefined : { namespace, name, uid };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AgentError('BadRequest', 'the request is no JSON');
  }
}

function record(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value;
  throw bad(path, value, 'an object');
}

function string(value: unknown, path: string): string {
  if (typeof value === 'string') return value;
  throw bad(path, value, 'a string');
}

function bad(path: string, value: unknown, allowed: string): AgentError {
  const found = value === undefined ? 'missing' : JSON.stringify(value);
  return new AgentError('BadRequest', `${path} is ${found.slice(0, 80)}; allowed: ${allowed}`);
}
