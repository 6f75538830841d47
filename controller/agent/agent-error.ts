/**
 * Why the agent refuses a call of the plugin: one sentence each, for docs and metrics. `again` is CNI's "try again later"
 * (code 11): the kubelet does so by itself, and the next try may succeed without anybody's help.
 */
export const agentErrorCodes = {
  BadRequest: { sentence: 'The plugin sent what the agent cannot read: versions differ.', again: false },
  Cancelled: { sentence: 'The runtime gave the sandbox up, or nobody waits for the answer any more.', again: true },
  NotReady: { sentence: 'The agent has just started and does not know its node yet.', again: true },
  ApiUnavailable: { sentence: 'The API server did not answer, so the Pod could not be verified.', again: true },
  PodNotFound: { sentence: 'There is no such Pod, or another one of its name.', again: false },
  NotAPiece: { sentence: 'The Pod was not made or wired by the controller.', again: false },
  WrongInstall: { sentence: 'The Pod loads its rules by an init container.', again: false },
  WrongNode: { sentence: 'The Pod, or its primary, belongs on another node.', again: false },
  WrongNetwork: { sentence: 'The Pod is attached to another network than its controller said.', again: false },
  ClaimMissing: { sentence: 'No AddressBlock holds the addresses that the Pod carries.', again: true },
  AddressMismatch: { sentence: 'net1 has other addresses than were claimed for the piece.', again: false },
  NoPeerLink: { sentence: 'The CNI result before this plugin has no net1 with a host end.', again: false },
  BadNetns: { sentence: 'The network namespace is not at a path that the agent enters.', again: false },
  RulesFailed: { sentence: 'The rules could not be loaded, or the kernel does not show them.', again: true },
  RulesDiffer: { sentence: 'CHECK found other rules than there should be.', again: true },
} as const satisfies Readonly<Record<string, { readonly sentence: string; readonly again: boolean }>>;

export type AgentErrorCode = keyof typeof agentErrorCodes;

export class AgentError extends Error {
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
  }
}

/** CNI specification 1.1, section 5 "Error": 11 is "try again later", 100 and above are the plugin's own. */
export function cniErrorCode(code: AgentErrorCode): number {
  return agentErrorCodes[code].again ? 11 : 100 + Object.keys(agentErrorCodes).indexOf(code);
}
