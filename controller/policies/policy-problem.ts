/** What is wrong with a policy, or with what it would do to one Pod. Each is in its status; what cannot be done stays closed. */
export interface PolicyProblem {
  /** Name of the policy. */
  readonly policy: string;
  readonly code: PolicyProblemCode;
  /** Of the field in the policy: `spec.ingress[0].from[1]`. */
  readonly path: string;
  readonly message: string;
}

export const policyProblemCodes = {
  /** The API server's schema would have refused it. It selects as far as it may select, and opens nothing. */
  Invalid: 'a field that does not parse',
  UnknownContainer: 'a container that no selected Pod has',
  UnknownPortName: 'a name that no receiving container gives to a port',
  PortNameOfAddresses: 'a port name for addresses, which have no names',
  ContainersNotApart: 'containers of Pods that others cannot tell apart: plain ones, and those of mode isolate',
  SctpInPod: 'SCTP between containers of one Pod, where loopback carries TCP and UDP',
  PortTaken: 'one port of one container would lead to two others',
  TooManyAllowed: 'more ranges than a piece can hold',
  ServicePartlyAllowed: 'a Service some of whose endpoints are allowed: its address stays closed',
  EgressViaConflict: 'two ways out of one container: it has none',
  EgressViaMissing: 'a way out by a container that a selected Pod lacks: what it keeps there has none',
  EgressViaKept: 'a way out by a container that has but one way out itself: it is none',
} as const;

export type PolicyProblemCode = keyof typeof policyProblemCodes;
