import type { IPod } from 'kubernetes-models/v1/Pod';
import { isRecord } from '../api/json.ts';
import { ownLabels, schedulingGate } from '../api/names.ts';
import type { JsonPatchOperation } from '../split/cut.ts';
import { specOf } from '../split/pod.ts';
import type { IsolatePlan } from './plan.ts';

/** What admission changes on an isolated Pod: a label, the gate that holds it until it is wired, and assigned UIDs. */
export function markPatch(pod: IPod, { assigned }: IsolatePlan): readonly JsonPatchOperation[] {
  return [...labelOperations(pod), ...gateOperations(pod), ...assigned.flatMap((user) => userOperations(pod, user))];
}

function labelOperations(pod: IPod): readonly JsonPatchOperation[] {
  const labels: unknown = pod.metadata?.labels;
  if (!isRecord(labels)) return [{ op: 'add', path: '/metadata/labels', value: { [ownLabels.role]: 'isolated' } }];
  if (labels[ownLabels.role] === 'isolated') return [];
  return [{ op: 'add', path: `/metadata/labels/${ownLabels.role.replace('/', '~1')}`, value: 'isolated' }];
}

function gateOperations(pod: IPod): readonly JsonPatchOperation[] {
  const gates = specOf(pod).schedulingGates ?? [];
  if (gates.some(({ name }) => name === schedulingGate)) return [];
  return [{ op: 'add', path: '/spec/schedulingGates', value: [...gates, { name: schedulingGate }] }];
}

function userOperations(
  pod: IPod,
  { list, index, uid }: IsolatePlan['assigned'][number],
): readonly JsonPatchOperation[] {
  const path = `/spec/${list}/${index}/securityContext`;
  // A Pod under admission may have null where nothing is.
  const context: unknown = specOf(pod)[list]?.[index]?.securityContext;
  if (!isRecord(context)) return [{ op: 'add', path, value: { runAsUser: uid } }];
  return [{ op: 'add', path: `${path}/runAsUser`, value: uid }];
}
