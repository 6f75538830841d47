import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { initContainerName, ownAnnotations, wiringFile, wiringMountPath, wiringVolumeName } from '../api/names.ts';
import type { Plan, SplitOptions } from './plan.ts';

/** What a piece gets for its rules: in install mode `node` nothing, since the node loads them. */
export function initContainers(
  plan: Plan,
  options: SplitOptions,
  beside: readonly IContainer[],
): readonly IContainer[] {
  return plan.install === 'init' ? [initContainer(options, beside)] : [];
}

export function wiringVolumes(plan: Plan): readonly IVolume[] {
  return plan.install === 'init' ? [wiringVolume()] : [];
}

/**
 * Runs before anything of the user's in each piece: loads the closed table, waits for the wiring, loads the rules. It
 * needs root and NET_ADMIN in its own Pod's network namespace and nothing else, so it has no token and no other volume.
 *
 * @param beside all other containers of the piece: together they decide its quality of service, which must stay
 */
function initContainer(options: SplitOptions, beside: readonly IContainer[]): IContainer {
  return {
    name: initContainerName,
    image: options.image,
    ...(options.imagePullPolicy === undefined ? {} : { imagePullPolicy: options.imagePullPolicy }),
    command: ['podsplit', 'init'],
    // The kubelet's probes come from the node's own addresses: a sibling takes nothing else by its eth0.
    env: [{ name: 'HOST_IPS', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.hostIPs' } } }],
    resources: resourcesBeside(beside),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // The SHA-256 of the wiring whose rules it proved loaded.
    terminationMessagePolicy: 'File',
    volumeMounts: [{ name: wiringVolumeName, mountPath: wiringMountPath, readOnly: true }],
  };
}

const burstable = { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '1', memory: '128Mi' } };

/** Slower to start, but a Pod of class Guaranteed keeps its class: its processors, and its place in an eviction. */
const guaranteed = { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '100m', memory: '128Mi' } };

/** For a container of podsplit's: all others of the piece decide its quality of service, which must stay. */
export function resourcesBeside(beside: readonly IContainer[]): NonNullable<IContainer['resources']> {
  return beside.every(isGuaranteed) ? guaranteed : burstable;
}

/** Limits for both, and requests that are the same or left to be defaulted from them. */
function isGuaranteed(container: IContainer): boolean {
  const { limits = {}, requests = {} } = container.resources ?? {};
  return ['cpu', 'memory'].every((resource) => {
    const limit = limits[resource];
    return limit !== undefined && (requests[resource] ?? limit) === limit;
  });
}

/** The piece's own wiring annotation as a file: the kubelet keeps a downward API volume current, an environment it does not. */
function wiringVolume(): IVolume {
  return {
    name: wiringVolumeName,
    downwardAPI: {
      items: [
        {
          path: wiringFile,
          fieldRef: { apiVersion: 'v1', fieldPath: `metadata.annotations['${ownAnnotations.wiring}']` },
        },
      ],
    },
  };
}
