import type { EventRecorder } from '../kube/events.ts';
import type { Pod } from '../kube/resources.ts';
import type { Logger } from '../observability/log.ts';
import { readPod, splitKey, wiringText, type LivePod } from '../reconcile/piece-pod.ts';
import { formatWiring, parseWiring, WiringError } from '../rules/wiring-json.ts';
import type { Endpoint, Wiring } from '../rules/wiring.ts';
import { keptBy } from '../rules/via-model.ts';
import { AgentError } from './agent-error.ts';
import type { Attachments } from './attachments.ts';
import { checkEgress } from './host-ends.ts';
import type { Registry } from './registry.ts';
import type { Sandbox } from './sandbox.ts';

export interface RewireDependencies {
  readonly registry: Registry<Sandbox>;
  readonly attachments: Pick<Attachments, 'lock' | 'renew'>;
  readonly events: Pick<EventRecorder, 'event'>;
  readonly log: Logger;
  readonly applied: (seconds: number) => void;
}

/**
 * Flows change on a Pod that runs: its controller writes other wirings, and the pieces' tables follow, each in one
 * transaction. Addresses do not change that way: they were verified at the ADD, and stay what they were then.
 *
 * @returns whether anything was changed
 */
export async function rewire(raw: Pod, deps: RewireDependencies): Promise<boolean> {
  const { registry, attachments, log, applied } = deps;
  const pod = readPod(raw);
  if (pod === undefined) return false;
  const started = performance.now();
  const isBehind = await attachments.lock.run(splitKey(pod), async () => {
    // What is in force is known under the lock only: an ADD, or an earlier change, may be under way.
    const sandbox = registry.ofPod(pod.uid);
    if (sandbox === undefined) {
      sayUnread(pod, deps);
      return undefined;
    }
    const found = newWiring(pod, sandbox);
    if (found.kind === 'refused') sayRefused(pod, found.why, deps);
    if (found.kind !== 'new') return undefined;
    sayEgressOpen(pod, found.wiring, sandbox, deps);
    await registry.put({ ...sandbox, wiring: formatWiring(found.wiring) });
    return !(await attachments.renew(sandbox.split));
  });
  if (isBehind === undefined) return false;
  const { namespace, name, container } = pod;
  if (isBehind) {
    log.warn({ pod: `${namespace}/${name}`, piece: container }, 'changed flows are not in force everywhere yet');
    return true;
  }
  applied((performance.now() - started) / 1000);
  log.info({ pod: `${namespace}/${name}`, piece: container }, 'rewired');
  return true;
}

type NewWiring =
  | { readonly kind: 'same' }
  | { readonly kind: 'new'; readonly wiring: Wiring }
  | { readonly kind: 'refused'; readonly why: string };

function newWiring(pod: LivePod, sandbox: Sandbox): NewWiring {
  const text = wiringText(pod);
  if (text === undefined || text === sandbox.wiring) return { kind: 'same' };
  try {
    const wiring = parseWiring(text);
    if (formatWiring(wiring) === sandbox.wiring) return { kind: 'same' };
    const before = parseWiring(sandbox.wiring);
    if (identities(wiring) === identities(before)) return { kind: 'new', wiring };
    const why = 'it gives the pieces other addresses than those that were verified when they were attached.';
    return { kind: 'refused', why };
  } catch (error) {
    if (error instanceof WiringError) return { kind: 'refused', why: error.message };
    throw error;
  }
}

/** Its file does not read: what is in force is known by its text at most, and a change of it finds nobody. */
function sayUnread(pod: LivePod, deps: RewireDependencies): void {
  const file = deps.registry.listUnread().find((each) => each.pod?.uid === pod.uid);
  if (file === undefined || file.wiring === wiringText(pod)) return;
  sayRefused(pod, `the agent does not read what another version of it wrote of this piece (${file.why}).`, deps);
}

function sayRefused(pod: LivePod, why: string, { events, log }: RewireDependencies): void {
  const { namespace, name, uid } = pod;
  log.error({ pod: { namespace, name }, why }, 'a wiring is not taken');
  events.event(
    { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    'Warning',
    'WiringRefused',
    `The annotation podsplit.io/wiring is not taken, and the rules stay as they are: ${why}`,
  );
}

/**
 * The piece is kept from now on, by its own table. The node's part has no end of eth0 to be at, and a piece that runs cannot
 * be held back, as a new one would be.
 */
function sayEgressOpen(pod: LivePod, wiring: Wiring, sandbox: Sandbox, { events, log }: RewireDependencies): void {
  if (keptBy(parseWiring(sandbox.wiring)) !== undefined) return;
  try {
    checkEgress(wiring, sandbox.host.eth0);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const { namespace, name, uid } = pod;
    log.error({ pod: { namespace, name }, why: error.message }, 'a packet socket passes around the proxy');
    events.event(
      { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
      'Warning',
      error.code,
      `${error.message}. It runs already and is kept by its own rules, which a packet socket passes around: drop NET_RAW ` +
        'in the container. Once it ends it will not start again here.',
    );
  }
}

/** All of a wiring that says who is who. */
function identities({ split, piece, role, self, peers, pool }: Wiring): string {
  const endpoint = ({ mac, ipv4, ipv6 }: Endpoint) => ({ mac, ipv4, ipv6 });
  const others = peers.map((peer) => ({ name: peer.name, role: peer.role, ...endpoint(peer) }));
  return JSON.stringify([split, piece, role, endpoint(self), others, pool]);
}
