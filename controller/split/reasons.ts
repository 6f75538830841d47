import type { IPod } from 'kubernetes-models/v1/Pod';
import type { Intent } from '../api/annotations.ts';
import { defaultContainerAnnotation, userAnnotations } from '../api/names.ts';
import type { Division } from './divide.ts';
import { egressReasons, isCarried } from './egress-reasons.ts';
import { ingressReasons, servedPorts } from './ingress-via.ts';
import { itemsOf } from './downward-api.ts';
import type { ChosenInstall } from './install.ts';
import type { Piece, Plan, Reason } from './plan.ts';
import { specOf, volumeNamesOf } from './pod.ts';
import { piecesToBe } from './checks/subject.ts';
import { tokenNotes } from './token-reasons.ts';
import { sharedEmptyDirNames } from './shared-volumes.ts';

/** Why the pieces look as they do, in the order in which a reader of the Pod meets it. */
export function reasonsFor(pod: IPod, intent: Intent, division: Division, install: ChosenInstall): readonly Reason[] {
  return [
    primaryReason(intent),
    ...flowsReason(intent, division),
    ...egressReasons(division),
    ...ingressReasons(division),
    installReason(intent, install),
    ...primaryReasons(pod, division),
    ...division.siblings.flatMap((piece) => siblingReasons(pod, piece)),
  ];
}

/** Of all reasons those that a user should hear of without asking: where a split Pod behaves otherwise than a whole one. */
export function noteworthy({ reasons, flows }: Pick<Plan, 'reasons' | 'flows'>): readonly Reason[] {
  const codes = [
    'PrimaryDecidesCompletion',
    'SeesRemovedContainers',
    'EgressWithoutDns',
    'EgressBeforeProxy',
    'IngressProbes',
    'IngressAroundProxy',
    'FlowsObserved',
    'ResourcesFilled',
    ...tokenNotes,
  ];
  // Declared ports are the default; a Pod that declares none is most likely not meant to fall silent.
  if (flows.length === 0) codes.push('FlowsDeclared');
  return reasons.filter(({ code }) => codes.includes(code));
}

const chosenBy: Readonly<Record<Intent['primary']['chosenBy'], Pick<Reason, 'code' | 'path' | 'message'>>> = {
  annotation: {
    code: 'PrimaryByAnnotation',
    path: `metadata.annotations[${userAnnotations.primary}]`,
    message: 'The annotation makes it the primary.',
  },
  'default-container': {
    code: 'PrimaryByDefaultContainer',
    path: `metadata.annotations[${defaultContainerAnnotation}]`,
    message: "kubectl's default container is the primary.",
  },
  first: { code: 'PrimaryByOrder', path: 'spec.containers[0]', message: 'The first container is the primary.' },
};

function primaryReason(intent: Intent): Reason {
  return { piece: intent.primary.container, ...chosenBy[intent.primary.chosenBy] };
}

function flowsReason(intent: Intent, division: Division): Reason[] {
  const piece = division.primary.name;
  const path = `metadata.annotations[${userAnnotations.flows}]`;
  if (intent.flows.kind === 'listed') {
    const message = division.flows.length === 0 ? 'No piece may call another.' : 'Only the listed flows are open.';
    return [{ code: 'FlowsListed', piece, path, message }];
  }
  if (intent.flows.kind === 'observe') {
    const message = 'Nothing is enforced between the pieces: they reach what listens, and what they use is recorded.';
    return [{ code: 'FlowsObserved', piece, path, message }];
  }
  if (division.flows.length === 0 && isCarried(division.via)) return [];
  const message =
    division.flows.length === 0
      ? 'No container declares a port: no piece may call another.'
      : 'Every declared port is open to the other pieces, and nothing else is.';
  return [{ code: 'FlowsDeclared', piece, path, message }];
}

/** Of the pieces together: it stands with the primary, as what is said of the flows does. */
function installReason(intent: Intent, { mode, chosenBy }: ChosenInstall): Reason {
  const why = {
    annotation: 'The annotation says so',
    network: `SplitNetwork ${intent.network} says so`,
    default: 'By default',
  }[chosenBy];
  const [code, how] =
    mode === 'node'
      ? ['RulesByNodeAgent', "the node's agent loads the rules before a piece starts"]
      : ['RulesByInitContainer', 'an init container with NET_ADMIN loads the rules of each piece'];
  const path = `metadata.annotations[${userAnnotations.install}]`;
  return {
    code,
    piece: intent.primary.container,
    path,
    message: `${why}${chosenBy === 'default' ? ' ' : ': '}${how}.`,
  };
}

function primaryReasons(pod: IPod, { primary, siblings, startOrder, ...way }: Division): Reason[] {
  const spec = specOf(pod);
  const reason = (code: string, path: string, message: string): Reason => ({
    code,
    piece: primary.name,
    path,
    message,
  });
  const reasons: Reason[] = [];
  if (primary.initContainers.length > 0) {
    const names = primary.initContainers.map((container) => container.name).join(', ');
    reasons.push(
      reason(
        'InitContainersStay',
        'spec.initContainers',
        startOrder.length > primary.initContainers.length
          ? `Init containers run with the primary, each in its turn: ${names}.`
          : `Init containers run with the primary, before any sibling starts: ${names}.`,
      ),
    );
  }
  const facade = servedPorts({ facade: siblings.flatMap((piece) => piece.ports), ...way });
  if (facade.length > 0) {
    const ports = facade.map(({ port, protocol }) => `${port}/${protocol}`).join(', ');
    reasons.push(
      reason(
        'PortsServedForSiblings',
        'spec.containers',
        `Its Pod IP serves the ports that siblings declare: ${ports}.`,
      ),
    );
  }
  const mounted = new Set(
    [...spec.containers, ...(spec.initContainers ?? [])].flatMap((container) => [...volumeNamesOf(container)]),
  );
  const unmounted = primary.volumes.filter((volume) => !mounted.has(volume.name)).map((volume) => volume.name);
  if (unmounted.length > 0) {
    reasons.push(reason('UnmountedVolumesStay', 'spec.volumes', `Nobody mounts these: ${unmounted.join(', ')}.`));
  }
  const shared = sharedEmptyDirNames(pod, { primary, siblings });
  if (shared.length > 0) {
    reasons.push(
      reason(
        'SharedVolumes',
        'spec.volumes',
        `The node gives one directory to all pieces that mount: ${shared.join(', ')}.`,
      ),
    );
  }
  if (primary.volumes.flatMap(itemsOf).some((item) => item.fieldRef?.fieldPath === 'metadata.annotations')) {
    reasons.push(
      reason(
        'SeesRemovedContainers',
        'spec.volumes',
        "A volume prints all annotations of the Pod, the removed containers' JSON among them.",
      ),
    );
  }
  // Native sidecars end with the last container in a whole Pod too.
  const others = siblings.some(({ name }) => !startOrder.includes(name));
  if (others && (spec.restartPolicy === 'Never' || spec.restartPolicy === 'OnFailure')) {
    reasons.push(
      reason(
        'PrimaryDecidesCompletion',
        'spec.restartPolicy',
        'The Pod completes when the primary does; siblings end then.',
      ),
    );
  }
  return reasons;
}

function siblingReasons(pod: IPod, piece: Piece): Reason[] {
  const { path = '' } = piecesToBe(specOf(pod)).find(({ item }) => item.name === piece.name) ?? {};
  const reason = (code: string, path: string, message: string): Reason => ({ code, piece: piece.name, path, message });
  const reasons = [reason('OwnPod', path, 'Runs in a Pod of its own, on the node of the primary.')];
  if (path.startsWith('spec.initContainers')) {
    const message = 'A native sidecar: what comes after it starts once it has started, and ends before it ends.';
    reasons.push(reason('StartOrderKept', path, message));
  }
  if (piece.volumes.length > 0) {
    const names = piece.volumes.map((volume) => volume.name).join(', ');
    reasons.push(reason('OwnVolumes', 'spec.volumes', `Takes only the volumes that it mounts: ${names}.`));
  }
  if (piece.container.ports?.some((port) => (port.hostPort ?? 0) > 0) === true) {
    reasons.push(
      reason('HostPortOnPrimary', `${path}.ports`, "Its host ports are bound on the primary's node by the primary."),
    );
  }
  const readsPod = (piece.container.env ?? []).some((env) =>
    /^(metadata\.(name|uid|labels|annotations)|status\.podIP)/.test(env.valueFrom?.fieldRef?.fieldPath ?? ''),
  );
  if (readsPod || piece.volumes.flatMap(itemsOf).some((item) => item.fieldRef !== undefined)) {
    reasons.push(
      reason('DownwardAPIOfPrimary', path, 'Reads by the downward API what the primary is called, not itself.'),
    );
  }
  return reasons;
}
