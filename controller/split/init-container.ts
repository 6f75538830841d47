import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { initContainerName, ownAnnotations, wiringFile, wiringMountPath, wiringVolumeName } from '../api/names.ts';
import type { SplitOptions } from './plan.ts';

/**
 * Runs before anything of the user's in each piece: loads the closed table, waits for the wiring, loads the rules. It
 * needs root and NET_ADMIN in its own Pod's network namespace and nothing else, so it has no token and no other volume.
 */
export function initContainer(options: SplitOptions): IContainer {
  return {
    name: initContainerName,
    image: options.image,
    ...(options.imagePullPolicy === undefined ? {} : { imagePullPolicy: options.imagePullPolicy }),
    command: ['podsplit', 'init'],
    // The kubelet's probes come from the node's own addresses: a sibling takes nothing else by its eth0.
    env: [{ name: 'HOST_IPS', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.hostIPs' } } }],
    resources: {
      requests: { cpu: '10m', memory: '64Mi' },
      limits: { cpu: '1', memory: '128Mi' },
    },
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

/** The piece's own wiring annotation as a file: the kubelet keeps a downward API volume current, an environment it does not. */
export function wiringVolume(): IVolume {
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
