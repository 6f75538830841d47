import { waitName } from '../api/identity.ts';
import { initContainerName, ownAnnotations, waitNamePrefix } from '../api/names.ts';
import { formatStarted, saysStarted } from '../split/started.ts';
import { hasOwnInitContainers, isDeleting, isGated, isInitialized, podIPs, type LivePod } from './piece-pod.ts';

/** Where a native sidecar stood among the Pod's init containers; undefined for every other piece. */
export function sidecarPlace(piece: LivePod): number | undefined {
  const text = piece.raw.metadata?.annotations?.[ownAnnotations.sidecar];
  return text === undefined ? undefined : Number(text);
}

export function isSidecar(piece: LivePod): boolean {
  return sidecarPlace(piece) !== undefined;
}

/**
 * The pieces that may start, in the order in which the kubelet starts the containers of one Pod. The Pod's init containers
 * are in the primary: a native sidecar waits for those before it, and every other sibling for all.
 */
export function released(primary: LivePod, siblings: readonly LivePod[]): readonly LivePod[] {
  const free = !hasOwnInitContainers(primary) || isInitialized(primary);
  return [primary, ...siblings.filter((sibling) => free || (isSidecar(sibling) && isReached(primary, sibling)))];
}

/** Did everything end that the Pod starts before this native sidecar? Of earlier ones their waits tell. */
function isReached(primary: LivePod, sidecar: LivePod): boolean {
  const { initContainers = [] } = primary.raw.spec ?? {};
  const place = initContainers.findIndex(({ name }) => name === waitName(sidecar.container));
  return initContainers
    .slice(0, Math.max(place, 0))
    .filter(({ name }) => name !== initContainerName)
    .every(({ name }) => initState(primary, name)?.terminated?.exitCode === 0);
}

function initState(primary: LivePod, name: string) {
  return primary.raw.status?.initContainerStatuses?.find((status) => status.name === name)?.state;
}

/** As the kubelet says of a native sidecar: it runs, and its startup probe, if it has one, has succeeded. */
function hasStarted(sidecar: LivePod): boolean {
  const statuses = sidecar.raw.status?.containerStatuses ?? [];
  return !isDeleting(sidecar) && statuses.some(({ started }) => started === true);
}

function isWaiting(primary: LivePod): boolean {
  return (primary.raw.status?.initContainerStatuses ?? []).some(
    ({ name, state }) => name.startsWith(waitNamePrefix) && state?.running !== undefined,
  );
}

function startedText(primary: LivePod): string {
  return primary.raw.metadata?.annotations?.[ownAnnotations.started] ?? '';
}

/** What the primary has to be told of its native sidecars while it starts; undefined where it knows. */
export function startedNews(primary: LivePod, siblings: readonly LivePod[]): string | undefined {
  const [podIP] = podIPs(primary);
  if (podIP === undefined || (isInitialized(primary) && !isWaiting(primary))) return undefined;
  const containers = siblings
    .filter((sibling) => isSidecar(sibling) && hasStarted(sibling))
    .map((one) => one.container);
  const told = siblings.filter(({ container }) => saysStarted(startedText(primary), container, podIP));
  if (told.length === containers.length && told.every(({ container }) => containers.includes(container)))
    return undefined;
  return formatStarted({ podIP, containers });
}

/** Was the primary told what it waits for, and has its kubelet not shown it yet? */
export function isToldInVain(primary: LivePod, siblings: readonly LivePod[]): boolean {
  const [podIP = ''] = podIPs(primary);
  return siblings.some(
    ({ container }) =>
      initState(primary, waitName(container))?.running !== undefined &&
      saysStarted(startedText(primary), container, podIP),
  );
}

/** The native sidecar that everything after it waits for, if one does. */
export function startHolder(primary: LivePod, siblings: readonly LivePod[]): LivePod | undefined {
  if (isInitialized(primary)) return undefined;
  return siblings
    .filter((sibling) => isSidecar(sibling) && !isGated(sibling) && !hasStarted(sibling))
    .toSorted(byPlace)
    .find((sibling) => isReached(primary, sibling));
}

export function byPlace(one: LivePod, other: LivePod): number {
  return (sidecarPlace(one) ?? 0) - (sidecarPlace(other) ?? 0);
}
