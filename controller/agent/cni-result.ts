import { isRecord } from '../api/json.ts';
import { bridgeNamePrefix, peerInterface } from '../api/names.ts';
import { AgentError } from './agent-error.ts';

/** What the plugins before ours made: CNI specification 1.1, section 5 "ADD Success". */
export interface PeerAttachment {
  readonly mac: string;
  /** Without prefix lengths, as the plugins print them. */
  readonly addresses: readonly string[];
  /** The host end of net1's veth. */
  readonly hostDevice: string;
}

/** @throws AgentError NoPeerLink */
export function peerAttachment(result: unknown, netns: string): PeerAttachment {
  const interfaces = list(isRecord(result) ? result['interfaces'] : undefined);
  const index = interfaces.findIndex((each) => each['name'] === peerInterface && each['sandbox'] === netns);
  // `bridge` lists the bridge, the host end and the container's end; the bridge is no port of itself.
  const hostEnds = interfaces.filter(
    (each) => isAbsent(each['sandbox']) && !String(each['name']).startsWith(bridgeNamePrefix),
  );
  const [hostEnd] = hostEnds;
  const net1 = interfaces[index];
  if (net1 === undefined || hostEnd === undefined || hostEnds.length !== 1) {
    const names = interfaces.map((each) => String(each['name'])).join(', ');
    throw new AgentError(
      'NoPeerLink',
      `the plugin "bridge" before this one did not report ${peerInterface} and one host end, but: ${names === '' ? 'nothing' : names}`,
    );
  }
  const addresses = list(isRecord(result) ? result['ips'] : undefined)
    .filter((each) => each['interface'] === index)
    .map((each) => String(each['address']).replace(/\/.*$/, ''));
  return { mac: String(net1['mac']).toLowerCase(), addresses, hostDevice: String(hostEnd['name']) };
}

/** The first of a chain has to give a result as well: nothing was made yet. */
export function emptyResult(cniVersion: string): object {
  return { cniVersion, interfaces: [], ips: [], routes: [], dns: {} };
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === '';
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter((each) => isRecord(each)) : [];
}
