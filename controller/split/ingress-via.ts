import { userAnnotations } from '../api/names.ts';
import type { DeclaredPort } from '../api/flow.ts';
import type { IngressVia } from '../rules/wiring.ts';
import { probedPorts } from './checks/probes.ts';
import type { Division } from './divide.ts';
import type { Plan, Reason } from './plan.ts';

/** Siblings' ports that clients reach at the Pod's address: what enters by a proxy is not served around it. */
export function servedPorts({ facade, ingressVia }: Pick<Plan, 'facade' | 'ingressVia'>): readonly DeclaredPort[] {
  if (ingressVia === undefined) return facade;
  return facade.filter(({ container, protocol }) => protocol === 'udp' || container === ingressVia.to);
}

/** The same as it is seen in the siblings, after NAT. */
export function servedBySiblings(plan: Plan): readonly DeclaredPort[] {
  const { ingressVia, primary } = plan;
  if (ingressVia === undefined || ingressVia.to === primary.name) return servedPorts(plan);
  return [...servedPorts(plan), { container: ingressVia.to, port: ingressVia.port, protocol: 'tcp' }];
}

/** The primary is called at the Pod's address, by the kubelet too; siblings have addresses of their own for that. */
export function ingressViaOf({ primary, siblings, ingressVia }: Division): IngressVia | undefined {
  if (ingressVia === undefined) return undefined;
  const proxy = [primary, ...siblings].find(({ name }) => name === ingressVia.to);
  const direct = (proxy?.ports ?? []).filter(({ protocol }) => protocol === 'tcp').map(({ port }) => port);
  return {
    ...ingressVia,
    direct: [...new Set(direct)].sort((a, b) => a - b),
    probes: probedPorts(primary.container).filter((port) => !direct.includes(port)),
  };
}

/** Of a Pod that clients enter by a proxy: what enters, and what gets around it. */
export function ingressReasons(division: Division): readonly Reason[] {
  const way = ingressViaOf(division);
  if (way === undefined) return [];
  const { to, port, direct, probes } = way;
  const reason = (code: string, piece: string, annotation: string, message: string): Reason => ({
    code,
    piece,
    path: `metadata.annotations[${annotation}]`,
    message,
  });
  const own = direct.length === 0 ? '' : ` It serves its own ports itself: ${direct.join(', ')}.`;
  const around = division.flows.filter((flow) => flow.protocol === 'tcp' && flow.from !== to && flow.to !== to);
  return [
    reason(
      'IngressVia',
      to,
      userAnnotations.ingressVia,
      `TCP that comes to the Pod is carried to its port ${port}.${own}`,
    ),
    ...(probes.length > 0 && division.primary.name !== to
      ? [
          reason(
            'IngressProbes',
            division.primary.name,
            userAnnotations.ingressVia,
            `Its node calls these ports around ${to}, as probes do: ${probes.join(', ')}. Who comes with the node's address is not told apart.`,
          ),
        ]
      : []),
    ...[...new Set(around.map(({ from }) => from))].map((from) => {
      const called = around.filter((flow) => flow.from === from).map((flow) => `${flow.to}:${flow.port}`);
      return reason(
        'IngressAroundProxy',
        from,
        userAnnotations.flows,
        `It calls ${called.join(', ')} by flows, and not by ${to}: list the flows where it shall not.`,
      );
    }),
  ];
}
