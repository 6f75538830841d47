import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { InstallMode } from '../../api/install.ts';
import type { Refusal } from '../../api/refusal.ts';
import type { Division } from '../divide.ts';
import { specOf } from '../pod.ts';
import { allContainers } from './subject.ts';

/**
 * A packet socket passes around every rule in the piece. The node's side closes that (docs/decisions/0018-the-unavoidable-proxy.md), and
 * in install mode init there is none: what shall be kept must not be able to open one.
 */
export function egressViaByInit(pod: IPod, { primary, siblings, via }: Division, install: InstallMode): Refusal[] {
  if (install === 'node') return [];
  const kept = new Set(via.map(({ from }) => from));
  const inKept = [primary, ...siblings]
    .filter(({ name }) => kept.has(name))
    .flatMap(({ container, initContainers }) => [container, ...initContainers].map(({ name }) => name));
  return allContainers(specOf(pod))
    .filter(({ container }) => inKept.includes(container.name) && !dropsNetRaw(container))
    .map(({ container, path }) => ({
      code: 'EgressViaByInit',
      path: `${path}.securityContext.capabilities.drop`,
      message: `Container ${JSON.stringify(container.name)} holds NET_RAW, and in install mode init the node filters nothing.`,
      action: 'Drop NET_RAW or ALL there, or set podsplit.io/install to "node".',
    }));
}

function dropsNetRaw({ securityContext }: IContainer): boolean {
  const { add = [], drop = [] } = securityContext?.capabilities ?? {};
  const named = (list: readonly string[]): readonly string[] =>
    list.map((item) => item.toUpperCase().replace(/^CAP_/, ''));
  return named(drop).some((item) => item === 'NET_RAW' || item === 'ALL') && !named(add).includes('NET_RAW');
}
