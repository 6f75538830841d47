import { networksAnnotation } from '../api/names.ts';
import { isolate } from '../isolate/isolate.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import { readPod, wiringText, type LivePod } from '../reconcile/piece-pod.ts';
import { parseIsolateWiring, type IsolateWiring } from '../rules/isolate-wiring.ts';
import { WiringError } from '../rules/wiring-json.ts';
import { asAdmitted } from '../split/admitted.ts';
import type { SplitOptions } from '../split/plan.ts';
import { AgentError } from './agent-error.ts';
import { ask, networksOf, type VerifyInput } from './verify-piece.ts';

export interface VerifiedPod {
  readonly pod: LivePod;
  readonly wiring: IsolateWiring;
}

/** None of it matters to whether a Pod can be isolated. */
const options: SplitOptions = { image: '', maxContainers: 255, install: { byNetwork: new Map(), otherwise: 'node' } };

/**
 * Is this Pod really to be isolated, and do the rules name the users that its containers will run as? The UIDs are taken
 * from the Pod's spec, which nobody can change any more, and all that admission asks for is asked again: the webhook may not
 * have been there.
 *
 * @throws AgentError
 */
export async function verifyIsolated(input: VerifyInput, client: KubeClient): Promise<VerifiedPod> {
  const { namespace, name, uid } = input.pod;
  const raw = await ask(() => client.get(resources.pods, { namespace, name }));
  if (raw?.metadata.uid !== uid)
    throw new AgentError('PodNotFound', `there is no Pod ${namespace}/${name} with UID ${uid}`);
  const pod = readPod(raw);
  if (pod?.role !== 'isolated') {
    throw new AgentError(
      'NotAPiece',
      `Pod ${namespace}/${name} is not isolated; only podsplit attaches Pods to ${input.network}`,
    );
  }
  checkPlace(pod, input);
  const text = wiringText(pod);
  if (text === undefined) throw new AgentError('NotAPiece', `Pod ${name} has no annotation podsplit.io/wiring`);
  const wiring = readWiring(pod, text);
  checkContainers(pod, wiring);
  return { pod, wiring };
}

function checkPlace(pod: LivePod, { network, node }: VerifyInput): void {
  const bound = pod.raw.spec?.nodeName ?? 'none';
  if (bound !== node) throw new AgentError('WrongNode', `Pod ${pod.name} is bound to node ${bound}, not to ${node}`);
  const named = networksOf(pod.raw.metadata?.annotations?.[networksAnnotation]);
  if (named.length === 1 && named[0] === network) return;
  throw new AgentError(
    'WrongNetwork',
    `the network is ${network}, but the annotation ${networksAnnotation} of Pod ${pod.name} names ${named.join(', ')}`,
  );
}

function readWiring(pod: LivePod, text: string): IsolateWiring {
  try {
    const wiring = parseIsolateWiring(text);
    if (wiring.split === pod.split) return wiring;
    throw new AgentError('NotAPiece', `the wiring of Pod ${pod.name} is another Pod's: ${wiring.split}`);
  } catch (error) {
    if (error instanceof WiringError) throw new AgentError('NotAPiece', `Pod ${pod.name}: ${error.message}`);
    throw error;
  }
}

function checkContainers(pod: LivePod, wiring: IsolateWiring): void {
  const plan = isolate(asAdmitted(pod.raw), options);
  if (plan.kind === 'isolate' && plan.assigned.length === 0 && identities(plan) === identities(wiring)) return;
  const why = plan.kind === 'refused' ? plan.refusals.map(({ path, message }) => `${path}: ${message}`).join(' ') : '';
  throw new AgentError('NotAPiece', `the containers of Pod ${pod.name} are not those of its wiring. ${why}`.trim());
}

/** All of a wiring that says who is who: it is the Pod's for life. */
export function identities({ containers }: Pick<IsolateWiring, 'containers'>): string {
  return JSON.stringify(containers.map(({ name, uid, ports, probes }) => [name, uid, ports, probes]));
}
