import type { Intent } from '../api/annotations.ts';
import { userAnnotations } from '../api/names.ts';
import { egressReasons } from '../split/egress-reasons.ts';
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
  const flowsPath = `metadata.annotations[${userAnnotations.flows}]`;
  return [
    intent.flows.kind === 'listed'
      ? reason(
          'FlowsListed',
          flowsPath,
          flows === 0 ? 'No container may call another.' : 'Only the listed flows are open.',
        )
      : intent.flows.kind === 'observe'
        ? reason(
            'FlowsObserved',
            flowsPath,
            'Nothing is enforced between the containers: they reach what listens, and what they use is recorded.',
          )
        : reason(
            'FlowsDeclared',
            flowsPath,
            flows === 0
              ? 'No container declares a port: no container may call another.'
              : 'Every declared port is open to the other containers, and nothing else is.',
          ),
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

/** Those that a user should hear of without asking. */
export function noteworthyOf({ reasons, flows }: Pick<IsolatePlan, 'reasons' | 'flows'>): readonly Reason[] {
  const codes = ['EgressWithoutDns', 'FlowsObserved', 'UsersAssigned', 'NetworkOnly', 'ResourcesFilled', ...tokenNotes];
  if (flows.length === 0) codes.push('FlowsDeclared');
  return reasons.filter(({ code }) => codes.includes(code));
}
