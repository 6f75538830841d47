import type { Wiring } from '../rules/wiring.ts';
import type { Attempt } from './denials.ts';

/** The kernel refused it inside of the piece that called, since nobody listened there (rules/redirect-loopback.ts). */
export function isOwnLoopback({ interfaceName }: Pick<Attempt, 'interfaceName'>): boolean {
  return interfaceName === 'lo';
}

/**
 * Who was meant: the only other piece that is known to serve the port, to whomever. What nobody declared could be anybody's,
 * or nobody's as in one Pod.
 */
export function meantAtLoopback({ port, protocol }: Attempt, { piece, flows, facade }: Wiring): string | undefined {
  const serving = [...flows.map(({ to, ...service }) => ({ piece: to, ...service })), ...facade].filter(
    (one) => one.port === port && one.protocol === protocol && one.piece !== piece,
  );
  const [only, ...others] = new Set(serving.map((one) => one.piece));
  return others.length === 0 ? only : undefined;
}
