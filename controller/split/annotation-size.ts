import type { IPod } from 'kubernetes-models/v1/Pod';
import { ownAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { cutPod } from './cut.ts';
import { visiblePod, volumeAnnotations } from './downward-api.ts';
import type { Plan, SplitOptions } from './plan.ts';
import { annotationsOf } from './pod.ts';

/** The API server counts the bytes of all keys and values (TotalAnnotationSizeLimitB). */
const limit = 262_144;

/** Networks, their status, and what other controllers write on a running Pod. */
const reservedForOthers = 8_192;

/** What is cut from a Pod must fit into its annotations, and what a sibling reads of them into the sibling's. */
export function checkSize(pod: IPod, plan: Plan, options: SplitOptions): readonly Refusal[] {
  const visible = visiblePod(pod, plan);
  const sets = [
    annotationsOf(cutPod(pod, plan, options)),
    ...plan.siblings.map((piece) => ({ ...piece.annotations, ...volumeAnnotations(piece.volumes, visible) })),
  ];
  const largest = Math.max(...sets.map(sizeOf)) + wiringSize(plan) + reservedForOthers;
  if (largest <= limit) return [];
  return [
    {
      code: 'AnnotationsTooLarge',
      path: `metadata.annotations[${ownAnnotations.removed}]`,
      message: `The annotations would take ${largest} bytes with all that podsplit writes, and may take ${limit}.`,
      action: 'Move long scripts and texts of the containers and annotations into ConfigMaps.',
    },
  ];
}

/** Upper bound of the wiring annotation (rules/wiring.ts): what varies is counted, the rest is at its longest. */
function wiringSize(plan: Plan): number {
  // Only an init container is told the other pieces' Pod IPs.
  const perPiece = plan.install === 'init' ? 512 : 320;
  const pieces = (plan.siblings.length + 1) * perPiece;
  return 1_024 + pieces + JSON.stringify(plan.flows).length + JSON.stringify(plan.facade).length;
}

function sizeOf(annotations: Readonly<Record<string, string>>): number {
  return Object.entries(annotations).reduce((sum, entry) => sum + utf8Length(entry[0]) + utf8Length(entry[1]), 0);
}

const encoder = new TextEncoder();

function utf8Length(text: string): number {
  return encoder.encode(text).length;
}
