import type { IPod } from 'kubernetes-models/v1/Pod';
import { isRecord } from '../api/json.ts';
import { ownLabels } from '../api/names.ts';
import type { JsonPatchOperation } from '../split/cut.ts';
import { admit, type AdmitOptions } from '../isolate/admit.ts';
import { markPatch } from '../isolate/mark.ts';
import { cutPatch } from '../split/cut.ts';
import { withNamespaceDefaults, type Labels } from '../split/namespace-defaults.ts';
import { notesOf } from './notes.ts';
import { refused } from './refused.ts';
import type { AdmissionRequest, Answer } from './review.ts';
import { unchanged } from './review.ts';

/**
 * `POST /mutate/pods`: cuts an annotated Pod to its primary container, or holds it to be isolated, or says why not.
 *
 * @param labels of its namespace
 */
export function reviewPod(request: AdmissionRequest, options: AdmitOptions, labels: Labels = {}): Answer {
  if (request.operation !== 'CREATE' || request.subResource !== '') return unchanged('NotACreate');
  const sent = asPod(request.object);
  const given = withNamespaceDefaults(sent, labels);
  if (given.kind === 'refused') return refused(given.refusals);
  const { pod: guarded, judgement: decision } = admit(given.pod, options);
  switch (decision.kind) {
    case 'refused':
      return refused(decision.refusals);
    case 'split':
      return {
        kind: 'allowed',
        decision: 'split',
        codes: [],
        // What the guards changed is in the plan.
        patch: cutPatch(given.pod, decision, options, sent),
        warnings: notesOf(decision),
      };
    case 'isolate':
      return {
        kind: 'allowed',
        decision: 'isolated',
        codes: [],
        patch: markPatch(guarded, decision, sent),
        warnings: notesOf(decision),
      };
    case 'left-alone':
      return {
        kind: 'allowed',
        decision: 'left-alone',
        codes: [decision.code],
        patch: decision.code === 'SingleContainer' ? markWhole(given.pod) : [],
        warnings: notesOf(decision),
      };
  }
}

/** `split` looks at the shape itself; a Pod under admission has no apiVersion and kind only where a test forgot them. */
function asPod(object: unknown): IPod {
  const fields = isRecord(object) ? object : {};
  return { ...fields, apiVersion: 'v1', kind: 'Pod' };
}

/** So that the controller hears of it and says so in an Event: it watches by this label. */
function markWhole(pod: IPod): readonly JsonPatchOperation[] {
  const { labels } = pod.metadata ?? {};
  if (labels === undefined) return [{ op: 'add', path: '/metadata/labels', value: { [ownLabels.role]: 'whole' } }];
  if (labels[ownLabels.role] === 'whole') return [];
  return [{ op: 'add', path: `/metadata/labels/${ownLabels.role.replace('/', '~1')}`, value: 'whole' }];
}
