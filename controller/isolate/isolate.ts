import type { IPod } from 'kubernetes-models/v1/Pod';
import { parseIntent } from '../api/annotations.ts';
import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import type { IsolatedContainer } from '../rules/isolate-wiring.ts';
import { probedPorts } from '../split/checks/probes.ts';
import { flowsBetween } from '../split/divide.ts';
import type { LeftAlone, Refused, SplitOptions } from '../split/plan.ts';
import { annotationsOf, declaredPortsOf } from '../split/pod.ts';
import { shapeOf } from '../split/shape.ts';
import { refused, singleContainer } from '../split/split.ts';
import { tokenKeepers, withoutOwnToken } from '../split/token.ts';
import { tokenReasons } from '../split/token-reasons.ts';
import { checkIsolation } from './checks.ts';
import { checkFlows } from './flows.ts';
import { checkVia } from './via.ts';
import type { IsolatePlan } from './plan.ts';
import { reasonsFor } from './reasons.ts';
import { membersOf, withoutOwnMarks, type Member } from './subject.ts';
import { assignedMessage, assignUsers, checkAssignment, withAssigned } from './users.ts';

/**
 * A Pod that stays one Pod is refused for these reasons, or isolated: its containers are told apart by their UIDs. Takes a
 * Pod that admission has marked as well.
 */
export function isolate(given: IPod, options: SplitOptions): IsolatePlan | Refused | LeftAlone {
  const shape = shapeOf(given);
  if (shape.kind === 'invalid') return { kind: 'refused', refusals: shape.refusals };
  const pod = withoutOwnToken(withoutOwnMarks(shape.pod));
  const annotations = annotationsOf(pod);
  const found = membersOf(pod);
  const assigned = assignUsers(found, annotations);
  const members = withAssigned(found, assigned);
  const names = [...members].sort(containersFirst).map(({ container }) => container.name);
  const intent = parseIntent(annotations, names, 'metadata.annotations');

  if (members.filter(({ runsBeside }) => runsBeside).length === 1 && intent.kind === 'intent') {
    return singleContainer(pod, 'there is nothing to isolate it from');
  }
  const refusals = [...checkAssignment(annotations), ...checkIsolation({ pod, options, members })];
  if (intent.kind !== 'intent') {
    return refused([...(intent.kind === 'invalid' ? intent.refusals : []), ...refusals]);
  }

  const distinct = withoutSharing(members);
  const serving = distinct.map(({ container, runsBeside }) => ({
    name: container.name,
    ports: runsBeside ? declaredPortsOf(container) : [],
  }));
  const flows = flowsBetween(serving, intent.flows);
  const listed =
    intent.flows.kind === 'listed'
      ? checkFlows(
          flows,
          serving.flatMap(({ ports }) => ports),
        )
      : [];
  const via = checkVia(
    intent.via,
    members.filter(({ runsBeside }) => runsBeside).map(({ container }) => container.name),
    serving.flatMap(({ ports }) => ports),
  );
  const notHere = intent.ingressVia === undefined ? [] : [ingressViaNeedsSplit];
  const all = [...refusals, ...listed, ...via, ...notHere];
  if (all.length > 0) return refused(all);
  const keepers = tokenKeepers(intent);
  return {
    kind: 'isolate',
    containers: distinct.map(identityOf),
    flows,
    via: intent.via.toSorted((a, b) => (a.from < b.from ? -1 : 1)),
    ...(intent.flows.kind === 'observe' ? { observe: true } : {}),
    assigned,
    ...(keepers === undefined ? {} : { tokenKeepers: keepers }),
    reasons: [
      ...reasonsFor(intent, flows.length, assigned.length === 0 ? undefined : assignedMessage(pod, members, assigned)),
      ...tokenReasons(pod, intent, ''),
    ],
  };
}

/** Clients would reach the app at its port as before. */
const ingressViaNeedsSplit: Refusal = {
  code: 'IngressViaNeedsSplit',
  path: `metadata.annotations[${userAnnotations.ingressVia}]`,
  message: 'The containers of an isolated Pod are called at the same interface.',
  action: `Set ${userAnnotations.mode} to "split", or close the app's ports by a ContainerNetworkPolicy.`,
};

function containersFirst(one: Member, other: Member): number {
  return one.list === other.list ? one.index - other.index : one.list === 'containers' ? -1 : 1;
}

/** An init container with the UID of one that runs later is that one, for the rules. */
function withoutSharing(members: readonly Member[]): readonly Member[] {
  return members.filter(
    (member, i) =>
      member.runsBeside ||
      !members.some((other, j) => other.uid === member.uid && (other.runsBeside ? i !== j : j < i)),
  );
}

function identityOf({ container, uid, runsBeside }: Member): Omit<IsolatedContainer, 'podNetwork'> {
  const ports = runsBeside ? declaredPortsOf(container) : [];
  return {
    name: container.name,
    // Checked: each has one.
    uid: uid ?? 0,
    ports: unique(ports.map(({ port, protocol }) => `${port}/${protocol}`)).map((key) => {
      const [port = '', protocol] = key.split('/');
      return { port: Number(port), protocol: protocol === 'udp' ? 'udp' : 'tcp' };
    }),
    probes: probedPorts(container),
  };
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}
