import { status } from '@grpc/grpc-js';
import type { AgentError } from '../agent/agent-error.ts';

/**
 * Why the driver refuses a call of the kubelet: one sentence each, and its status in gRPC (CSI specification, "Error Scheme").
 * The kubelet shows the message in an Event of the Pod, FailedMount, and tries again whatever the status.
 */
export const volumeErrorCodes = {
  BadRequest: { sentence: 'The kubelet sent what the driver cannot read.', status: status.INVALID_ARGUMENT },
  WrongTarget: { sentence: 'The volume is to be mounted elsewhere than in its Pod.', status: status.INVALID_ARGUMENT },
  NotVerified: { sentence: 'The Pod was not made or wired by the controller.', status: status.PERMISSION_DENIED },
  NotShared: {
    sentence: 'The container of this Pod mounts no shared volume of that name.',
    status: status.PERMISSION_DENIED,
  },
  NotNow: { sentence: 'The API server did not answer, so the Pod could not be verified.', status: status.UNAVAILABLE },
  MountFailed: { sentence: 'The directory could not be made or mounted.', status: status.INTERNAL },
} as const satisfies Readonly<Record<string, { readonly sentence: string; readonly status: status }>>;

export type VolumeErrorCode = keyof typeof volumeErrorCodes;

export class VolumeError extends Error {
  readonly code: VolumeErrorCode;

  constructor(code: VolumeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VolumeError';
    this.code = code;
  }
}

/** What the network's side of the agent says of a Pod, in the words of a volume. */
export function asVolumeError(error: AgentError): VolumeError {
  const passing = error.code === 'ApiUnavailable' || error.code === 'ClaimMissing';
  return new VolumeError(passing ? 'NotNow' : 'NotVerified', `${error.message} (${error.code})`, { cause: error });
}
