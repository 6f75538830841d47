import type { Intent } from '../api/annotations.ts';
import { userAnnotations } from '../api/names.ts';
import { egressReasons, isCarried } from '../split/egress-reasons.ts';
import type { Reason } from '../split/plan.ts';
import { tokenNotes } from '../split/token-reasons.ts';
import type { IsolatePlan } from './plan.ts';

/**
 * Why the Pod is isolated as it is, and what that does not do.
 *
 * @param assigned what is said of UIDs that podsplit gives, where it gives any
 */
export function reasonsFor(intent: Intent, flows: number, assigned: string | undefined): readonly Reason[] {
  const reason = (code: string, path: string, message: string): Reason => ({ code, piece: '', path, message });
  return [
    ...flowsReason(intent, flows),
    ...egressReasons({ via: intent.via, primary: { name: '', initContainers: [] }, startOrder: [] }),
    ...(assigned === undefined
      ? []
      : [reason('UsersAssigned', `metadata.annotations[${userAnnotations.assignUsers}]`, assigned)]),
    reason(
      'NetworkOnly',
      `metadata.annotations[${userAnnotations.mode}]`,
      intent.guards.includes('token')
        ? 'Of what the containers share only the network is isolated: not volumes, nor abstract Unix sockets.'
        : 'Only the network is isolated: not shared volumes, the ServiceAccount token, or abstract Unix sockets.',
    ),
  ];
}

function flowsReason({ flows: { kind }, via }: Intent, flows: number): readonly Reason[] {
  const reason = (code: string, message: string): readonly Reason[] => [
    { code, piece: '', path: `metadata.annotations[${userAnnotations.flows}]`, message },
  ];
  if (kind === 'listed') {
    return reason('FlowsListed', flows === 0 ? 'No container may call another.' : 'Only the listed flows are open.');
  }
  if (kind === 'observe') {
    return reason(
      'FlowsObserved',
      'Nothing is enforced between the containers: they reach what listens, and what they use is recorded.',
    );
  }
  if (flows === 0 && isCarried(via)) return [];
  return reason(
    'FlowsDeclared',
    flows === 0
      ? 'No container declares a port: no container may call another.'
      : 'Every declared port is open to the other containers, and nothing else is.',
  );
}

/** Those that a user should hear of without asking. */
export function noteworthyOf({ reasons, flows }: Pick<IsolatePlan, 'reasons' | 'flows'>): readonly Reason[] {
  const codes = ['EgressWithoutDns', 'FlowsObserved', 'UsersAssigned', 'NetworkOnly', 'ResourcesFilled', ...tokenNotes];
  if (flows.length === 0) codes.push('FlowsDeclared');
  return reasons.filter(({ code }) => codes.includes(code));
}
