import type { Denial } from '../api/resources.ts';
import { outsider, stranger } from '../rules/isolate-model.ts';
import { parseIsolateWiring } from '../rules/isolate-wiring.ts';
import type { Attempt } from './denials.ts';
import { isInside, meantFor } from './isolate-parties.ts';
import type { IsolatedSandbox } from './isolate-sandbox.ts';

/** An attempt in the words of the Pod: the mark says who called and, where somebody answered, who. */
export function isolateDenialOf(attempt: Attempt, sandbox: IsolatedSandbox, lastSeen: string): Denial {
  const wiring = parseIsolateWiring(sandbox.wiring);
  const { from: source, to: address, port, protocol, packets, audited } = attempt;
  const mark = Number(attempt.interfaceName);
  const [caller, answerer] = [mark & 0xff, mark >> 8];
  const inside = isInside(address, sandbox.local.podIPs);
  const nameOf = (number: number): string | undefined => wiring.containers[number - 1]?.name;
  const from =
    nameOf(caller) ??
    (caller === stranger ? 'unknown-user' : caller === outsider ? source : inside ? 'nobody' : source);
  const to = nameOf(answerer) ?? (inside ? meantFor(wiring, from, attempt) : undefined) ?? address;
  return {
    from,
    to,
    address,
    port,
    protocol,
    network: inside && caller !== outsider && caller !== 0 ? 'loopback' : 'pod',
    seenBy: nameOf(caller) ?? to,
    packets,
    ...(audited === undefined ? {} : { audited }),
    lastSeen,
  };
}
