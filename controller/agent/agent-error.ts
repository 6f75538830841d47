/** CNI specification 1.1, section 5 "Error": the kubelet does so by itself, and may succeed without anybody's help. */
const again = 11;

/**
 * Why the agent refuses a call of the plugin: one sentence each, and its number in CNI. 100 and above are the plugin's own;
 * 100 itself is the plugin's word for a socket that it does not trust. Codes and numbers are stable.
 */
export const agentErrorCodes = {
  BadRequest: { sentence: 'The plugin sent what the agent cannot read: versions differ.', cni: 101 },
  Cancelled: { sentence: 'The runtime gave the sandbox up, or nobody waits for the answer any more.', cni: again },
  NotReady: { sentence: 'The agent has just started and does not know its node yet.', cni: again },
  ApiUnavailable: { sentence: 'The API server did not answer, so the Pod could not be verified.', cni: again },
  PodNotFound: { sentence: 'There is no such Pod, or another one of its name.', cni: 102 },
  NotAPiece: { sentence: 'The Pod was not made or wired by the controller.', cni: 103 },
  WrongInstall: { sentence: 'The Pod loads its rules by an init container.', cni: 104 },
  WrongNode: { sentence: 'The Pod, or its primary, belongs on another node.', cni: 105 },
  WrongNetwork: { sentence: 'The Pod is attached to another network than its controller said.', cni: 106 },
  ClaimMissing: { sentence: 'No AddressBlock holds the addresses that the Pod carries.', cni: again },
  AddressMismatch: { sentence: 'net1 has other addresses than were claimed for the piece.', cni: 107 },
  NoPeerLink: { sentence: 'The CNI result before this plugin has no net1 with a host end.', cni: 108 },
  EgressOpen: {
    sentence: 'A kept piece has an eth0 that the node cannot filter: it could send around its proxy.',
    cni: 110,
  },
  BadNetns: { sentence: 'The network namespace is not at a path that the agent enters.', cni: 109 },
  RulesFailed: { sentence: 'The rules could not be loaded, or the kernel does not show them.', cni: again },
  RulesDiffer: { sentence: 'CHECK found other rules than there should be.', cni: again },
} as const satisfies Readonly<Record<string, { readonly sentence: string; readonly cni: number }>>;

export type AgentErrorCode = keyof typeof agentErrorCodes;

export class AgentError extends Error {
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
  }
}

export function cniErrorCode(code: AgentErrorCode): number {
  return agentErrorCodes[code].cni;
}
