import type { IPod } from 'kubernetes-models/v1/Pod';
import { isolate } from '../isolate/isolate.ts';
import { wantsIsolation } from '../isolate/judge.ts';
import type { PolicySubject } from '../policies/directory.ts';
import { isolatedSubject, splitSubject } from '../policies/subject.ts';
import { asAdmitted } from '../split/admitted.ts';
import type { SplitOptions } from '../split/plan.ts';
import { split } from '../split/split.ts';
import { CliError } from './cli-error.ts';

export interface PolicedPod {
  readonly subject: PolicySubject;
  readonly mode: 'split' | 'isolate';
  /** The container by which clients come in. */
  readonly ingressVia?: string;
}

/** Nothing that is asked here depends on them. */
const options: SplitOptions = {
  image: 'podsplit',
  maxContainers: Number.MAX_SAFE_INTEGER,
  install: { byNetwork: new Map(), otherwise: 'node' },
};

/** @throws CliError where the Pod is not one that podsplit would make pieces of */
export function policedPod(pod: IPod): PolicedPod {
  const name = pod.metadata?.name ?? '';
  const admitted = asAdmitted(pod);
  if (wantsIsolation(admitted)) {
    const plan = isolate(admitted, options);
    if (plan.kind !== 'isolate') throw notPlanned(name);
    return { subject: isolatedSubject(pod, plan), mode: 'isolate' };
  }
  const plan = split(admitted, options);
  if (plan.kind !== 'split') throw notPlanned(name);
  return {
    subject: splitSubject(pod, plan),
    mode: 'split',
    ...(plan.ingressVia && { ingressVia: plan.ingressVia.to }),
  };
}

function notPlanned(name: string): CliError {
  return new CliError(
    `What podsplit wrote on Pod ${name} does not read here: is the plugin older than the controller? See kubectl podsplit version.`,
  );
}
