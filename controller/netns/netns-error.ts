/** Why `podsplit init` does not let the piece start: one sentence each, for the log and the container's message. */
export const netnsErrorCodes = {
  NotAPiece: "The wiring's volume is not there: this is no piece's network namespace.",
  InvalidWiring: 'The annotation podsplit.io/wiring does not read as podsplit writes it.',
  InvalidEnvironment: 'A flag or environment variable does not read.',
  PeerInterfaceMissing: 'There is no net1: Multus did not attach the Pod to the peer network.',
  PeerInterfaceMismatch: 'net1 has not the address or MAC that the wiring promises.',
  SysctlMissing: "A sysctl that the NAD's tuning plugin should have set is not set.",
  NftFailed: 'nft did not load or list the table.',
  NotLoaded: 'nft reported success, but the kernel lists another table than was compiled.',
  IpFailed: 'ip did not read or set addresses, neighbours, routes or rules.',
  SsFailed: 'ss did not list the sockets that listen.',
} as const;

export type NetnsErrorCode = keyof typeof netnsErrorCodes;

export class NetnsError extends Error {
  readonly code: NetnsErrorCode;

  constructor(code: NetnsErrorCode, message: string) {
    super(message);
    this.name = 'NetnsError';
    this.code = code;
  }
}
