import type { IsolateWiring } from '../rules/isolate-wiring.ts';
import type { Attempt } from './denials.ts';

/** Is the address one of the Pod itself? */
export function isInside(address: string, podIPs: readonly string[]): boolean {
  return address.startsWith('127.') || address === '::1' || podIPs.includes(address);
}

/** For whom it is, where the kernel does not know who took it: whom a flow names, else who declares the port. */
export function meantFor(
  { containers, flows }: Pick<IsolateWiring, 'containers' | 'flows'>,
  from: string,
  { port, protocol }: Pick<Attempt, 'port' | 'protocol'>,
): string | undefined {
  return (
    flows.find((flow) => flow.from === from && flow.port === port && flow.protocol === protocol)?.to ??
    containers.find(({ ports }) => ports.some((own) => own.port === port && own.protocol === protocol))?.name
  );
}
