import { isolateModel, stranger, type IsolateModel } from './isolate-model.ts';
import { auditChains } from './isolate-audit.ts';
import { note } from './isolate-note.ts';
import { callerChains, isolateOutChains } from './isolate-out.ts';
import { isolateInChains } from './isolate-in.ts';
import { usedChains } from './isolate-observe.ts';
import { isolateSets } from './isolate-sets.ts';
import { viaChains } from './isolate-via.ts';
import { formatIsolateWiring, type IsolateWiring } from './isolate-wiring.ts';
import { tableName, type Chain, type Table } from './nft.ts';
import { wiringHash } from './wiring-json.ts';
import type { Local } from './wiring.ts';

/**
 * The table of an isolated Pod: one network namespace, containers told apart by the UID of the process that opened a socket
 * (docs/decisions/0019-isolate-mode.md has why each part holds). The skeleton depends on the containers and their UIDs
 * only, which never change; all else is data in sets.
 *
 * Every packet is judged by who called and who answered, kept in the connection's mark, in both directions: there is no
 * "established accept", and a connection whose flow is taken from the sets stops with its next packet.
 */
export function compileIsolateTable(wiring: IsolateWiring, local: Local): Table {
  return isolateTable(isolateModel(wiring, local), wiringHash(formatIsolateWiring(wiring)));
}

function isolateTable(model: IsolateModel, marker: string): Table {
  return {
    family: 'inet',
    name: tableName,
    marker,
    counters: ['spoofed', 'chatter', 'invalid', 'denied_out', 'denied_eth0', 'denied_forward'],
    sets: isolateSets(model),
    chains: [
      ...verdictChains,
      ...auditChains(model.isObserved),
      ...(model.isObserved ? usedChains : []),
      ...isolateInChains,
      ...callerChains(model),
      ...isolateOutChains(model),
      ...viaChains(model.isObserved),
      {
        name: 'forward',
        base: { type: 'filter', hook: 'forward', priority: 0, policy: 'drop' },
        comment: 'a Pod is no router',
        rules: ['counter name denied_forward drop'],
      },
    ],
  };
}

function deny(counter: string): readonly string[] {
  return [`counter name ${counter}`, 'limit rate 50/second burst 50 packets jump note', 'drop'];
}

const verdictChains: readonly Chain[] = [
  { name: 'note', comment: 'record it, at a bounded rate', rules: note('tried') },
  { name: 'deny_out', comment: 'not for this container', rules: deny('denied_out') },
  {
    name: 'deny_answer',
    comment: 'the reset is for the listener: else calls that nobody may make fill its queue',
    rules: [
      'counter name denied_out',
      'limit rate 50/second burst 50 packets jump note',
      'meta l4proto tcp reject with tcp reset',
      'drop',
    ],
  },
  { name: 'deny_eth0', comment: 'not from there', rules: deny('denied_eth0') },
  {
    name: 'deny_stranger',
    comment: 'no UID of a container of this Pod',
    rules: [`meta mark set ${stranger}`, 'goto deny_out'],
  },
  {
    name: 'no_data',
    comment: 'TCP Fast Open would deliver data before it is known who answers; a byte behind the header is data',
    rules: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map(
      (words) => `tcp doff ${words} @th,${words * 32},8 0-255 meta mark set ct mark goto deny_out`,
    ),
  },
];
