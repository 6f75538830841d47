import type { IPod } from 'kubernetes-models/v1/Pod';
import { isReservedKey } from '../api/keys.ts';
import type { IsolatePlan } from '../isolate/plan.ts';
import { membersOf } from '../isolate/subject.ts';
import type { Plan } from '../split/plan.ts';
import { declaredPortsOf, labelsOf, pickEntries } from '../split/pod.ts';
import type { PolicySubject } from './directory.ts';
import type { Labels } from './label-selector.ts';

/** A split Pod, from its primary. */
export function splitSubject(primary: IPod, plan: Pick<Plan, 'primary' | 'siblings' | 'flows' | 'via'>): PolicySubject {
  const containers = [plan.primary, ...plan.siblings].map(({ name, ports }) => ({ name, ports }));
  return { ...identityOf(primary), containers, flows: plan.flows, via: plan.via };
}

export function isolatedSubject(pod: IPod, { flows, via }: Pick<IsolatePlan, 'flows' | 'via'>): PolicySubject {
  const beside = membersOf(pod).filter(({ runsBeside }) => runsBeside);
  const containers = beside.map(({ container }) => ({ name: container.name, ports: declaredPortsOf(container) }));
  return { ...identityOf(pod), containers, flows, via, sharesPorts: true };
}

function identityOf(pod: IPod): Pick<PolicySubject, 'namespace' | 'name' | 'uid' | 'labels'> {
  const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
  return { namespace, name, uid, labels: userLabels(pod) };
}

/** What selectors of users' policies are about. */
export function userLabels(pod: IPod): Labels {
  return pickEntries(labelsOf(pod), (key) => !isReservedKey(key));
}
