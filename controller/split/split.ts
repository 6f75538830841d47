import type { IPod } from 'kubernetes-models/v1/Pod';
import { parseIntent, type Intent } from '../api/annotations.ts';
import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { checkSize } from './annotation-size.ts';
import { checkDivision, checkLimits, checkPod } from './checks/checks.ts';
import { egressViaByInit } from './checks/egress-via.ts';
import { divide } from './divide.ts';
import { chooseInstall } from './install.ts';
import type { Decision, LeftAlone, Plan, Refused, SplitOptions } from './plan.ts';
import { annotationsOf, isNativeSidecar, modeOf, runningContainers, specOf } from './pod.ts';
import { reasonsFor } from './reasons.ts';
import { restore } from './removed.ts';
import { shapeOf } from './shape.ts';
import { sharedEmptyDirNames } from './shared-volumes.ts';
import { guardToken, tokenKeepers, withoutOwnToken } from './token.ts';
import { tokenReasons } from './token-reasons.ts';

/**
 * A Pod is left alone, or refused for these reasons, or becomes these pieces. The one decision of podsplit: webhook,
 * controller and CLI all ask here. It takes a Pod that was cut before as well, and judges it as if it were whole.
 *
 * Never throws, whatever the Pod looks like.
 */
export function split(pod: IPod, options: SplitOptions): Decision {
  const mode = modeOf(pod);
  if (mode === undefined) return leftAlone('NotOptedIn', `The Pod has no annotation ${userAnnotations.mode}.`);
  if (mode === 'none') return leftAlone('OptedOut', `The Pod says ${userAnnotations.mode}=none.`);
  const shape = shapeOf(pod);
  if (shape.kind === 'invalid') return refused(shape.refusals);
  const restored = restore(shape.pod);
  if (restored.kind === 'refused') return restored;
  return decide(withoutOwnToken(restored.pod), options);
}

function decide(given: IPod, options: SplitOptions): Decision {
  const spec = specOf(given);
  const names = runningContainers(spec).map((container) => container.name);
  const inits = (spec.initContainers ?? []).filter((one) => !isNativeSidecar(one)).map(({ name }) => name);
  const parsed = parseIntent(annotationsOf(given), names, 'metadata.annotations', inits);
  if (parsed.kind === 'none') return leftAlone('OptedOut', `The Pod says ${userAnnotations.mode}=none.`);
  if (parsed.kind === 'invalid') return refused([...parsed.refusals, ...checkPod({ pod: given, options })]);
  const containers = spec.containers.map((container) => container.name);
  const intent = hintedAtContainer(parsed, containers);
  if (intent.mode !== 'split') return leftAlone('OtherMode', 'The Pod is to be isolated, and not split.');
  if (names.length === 1) return singleContainer(given, 'there is nothing to split');

  const tooMuch = checkLimits({ pod: given, options });
  if (tooMuch.length > 0) return refused(tooMuch);

  const keepers = tokenKeepers(intent);
  const pod = guardToken(given, keepers);
  const division = divide(pod, intent);
  const install = chooseInstall(intent, options.install);
  const observe = intent.flows.kind === 'observe';
  const refusals = [
    ...checkPod({ pod: given, options }),
    ...checkDivision({ pod, options, division, install: install.mode }),
    ...egressViaByInit(pod, division, install.mode),
    ...(observe && install.mode === 'init' ? [observeNeedsAgent] : []),
  ];
  if (refusals.length > 0) return refused(refusals);

  const plan: Plan = {
    kind: 'split',
    ...division,
    ...(observe ? { observe } : {}),
    sharedVolumes: sharedEmptyDirNames(pod, division),
    facade: division.siblings.flatMap((piece) => piece.ports),
    network: intent.network,
    install: install.mode,
    ...(keepers === undefined ? {} : { tokenKeepers: keepers }),
    order: {
      containers,
      volumes: (specOf(pod).volumes ?? []).map((volume) => volume.name),
      resourceClaims: (spec.resourceClaims ?? []).map((claim) => claim.name),
    },
    reasons: [...reasonsFor(pod, intent, division, install), ...tokenReasons(given, intent, division.primary.name)],
  };
  const tooLarge = checkSize(pod, plan, options);
  return tooLarge.length > 0 ? refused(tooLarge) : plan;
}

/** kubectl's default container may be a native sidecar, and a hint to people's tools makes it no primary. */
function hintedAtContainer(intent: Intent, containers: readonly string[]): Intent {
  const { container, chosenBy } = intent.primary;
  if (chosenBy !== 'default-container' || containers.includes(container)) return intent;
  return { ...intent, primary: { container: containers[0] ?? '', chosenBy: 'first' } };
}

const observeNeedsAgent: Refusal = {
  code: 'ObserveNeedsAgent',
  path: `metadata.annotations[${userAnnotations.flows}]`,
  message:
    'What the pieces use is observed by the agent of the node, and an init container loads the rules of this Pod.',
  action: `Set ${userAnnotations.install} to "node", or list the flows.`,
};

/** Guards are asked of what is split or isolated: who wants them hears that they are not. */
export function singleContainer(pod: IPod, why: string): LeftAlone {
  const unheeded = [userAnnotations.guards, userAnnotations.token].filter(
    (key) => annotationsOf(pod)[key] !== undefined,
  );
  const verb = unheeded.length === 1 ? 'has' : 'have';
  const more = unheeded.length === 0 ? '' : ` ${unheeded.join(' and ')} ${verb} no effect on it.`;
  return leftAlone('SingleContainer', `The Pod has one container: ${why}.${more}`);
}

function leftAlone(code: LeftAlone['code'], message: string): LeftAlone {
  return { kind: 'left-alone', code, message };
}

/** A Pod of a few MiB could be wrong in thousands of places; nobody reads more than these. */
const maxRefusals = 50;

export function refused(refusals: readonly Refusal[]): Refused {
  return { kind: 'refused', refusals: refusals.slice(0, maxRefusals) };
}
