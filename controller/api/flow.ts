/** A flow says "container `from` may reach container `to` on `port`/`protocol`", and nothing about the other direction. */
export interface Flow {
  readonly from: string;
  readonly to: string;
  /** 1 to 65535. */
  readonly port: number;
  readonly protocol: Protocol;
}

export type Protocol = 'tcp' | 'udp';

/** A port that a container declares: the Pod's own address serves it for everybody that NetworkPolicy lets in. */
export interface DeclaredPort {
  readonly container: string;
  readonly name?: string;
  readonly port: number;
  readonly protocol: Protocol;
}

export function sameFlow(one: Flow, other: Flow): boolean {
  return one.from === other.from && one.to === other.to && one.port === other.port && one.protocol === other.protocol;
}

/** As users write it in `podsplit.io/flows`. */
export function formatFlow(flow: Flow): string {
  return `${flow.from}->${flow.to}:${formatFlowPort(flow)}`;
}

/** `6379`, `8125/udp`. */
export function formatFlowPort({ port, protocol }: Pick<Flow, 'port' | 'protocol'>): string {
  return protocol === 'tcp' ? String(port) : `${port}/${protocol}`;
}

/** What `formatFlow` wrote; undefined for anything else. */
export function readFlow(text: string): Flow | undefined {
  const {
    from,
    to,
    port,
    protocol = 'tcp',
  } = /^(?<from>[^\s>]+)->(?<to>[^\s:]+):(?<port>\d{1,5})(\/(?<protocol>udp))?$/.exec(text)?.groups ?? {};
  if (from === undefined || to === undefined || port === undefined) return undefined;
  return { from, to, port: Number(port), protocol: protocol === 'udp' ? 'udp' : 'tcp' };
}
