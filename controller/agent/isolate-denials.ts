import type { Denial } from '../api/resources.ts';
import { outsider, stranger } from '../rules/isolate-model.ts';
import { parseIsolateWiring } from '../rules/isolate-wiring.ts';
import type { Attempt } from './denials.ts';
import type { IsolatedSandbox } from './isolate-sandbox.ts';

/** An attempt in the words of the Pod: the mark says who called and, where somebody answered, who. */
export function isolateDenialOf(attempt: Attempt, sandbox: IsolatedSandbox, lastSeen: string): Denial {
  const { containers, flows } = parseIsolateWiring(sandbox.wiring);
  const { from: source, to: address, port, protocol, packets, audited } = attempt;
  const mark = Number(attempt.interfaceName);
  const [caller, answerer] = [mark & 0xff, mark >> 8];
  const isInside = isLoopback(address) || sandbox.local.podIPs.includes(address);
  const nameOf = (number: number): string | undefined => containers[number - 1]?.name;
  const declaring = containers.find(({ ports }) =>
    ports.some((declared) => declared.port === port && declared.protocol === protocol),
  )?.name;
  const from =
    nameOf(caller) ??
    (caller === stranger ? 'unknown-user' : caller === outsider ? source : isInside ? 'nobody' : source);
  const named = flows.find((flow) => flow.from === from && flow.port === port && flow.protocol === protocol)?.to;
  const to = nameOf(answerer) ?? (isInside ? (named ?? declaring) : undefined) ?? address;
  return {
    from,
    to,
    address,
    port,
    protocol,
    network: isInside && caller !== outsider && caller !== 0 ? 'loopback' : 'pod',
    seenBy: nameOf(caller) ?? to,
    packets,
    ...(audited === undefined ? {} : { audited }),
    lastSeen,
  };
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
