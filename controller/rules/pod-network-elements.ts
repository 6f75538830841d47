import { familyOf, type Family } from './addresses.ts';
import type { Allowances, Allowed, PodNetwork } from './wiring.ts';

/** Of one direction: what passes, as elements of two sets. */
export interface AllowedElements {
  /** Addresses, at every port and protocol. */
  readonly all: readonly string[];
  /** `addresses . protocol . ports` */
  readonly some: readonly string[];
}

export interface DirectionElements {
  readonly enforce: AllowedElements;
  readonly audit: AllowedElements;
}

export interface PodNetworkElements {
  readonly ingress: DirectionElements;
  readonly egress: DirectionElements;
}

/** As a range of nft's. */
export const everyAddress: Readonly<Record<Family, string>> = {
  ipv4: '0.0.0.0-255.255.255.255',
  ipv6: '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
};

/** What is not restricted is "every address": a policy that comes or goes changes elements, and no rule. */
export function podNetworkElements(policies: PodNetwork | undefined, family: Family): PodNetworkElements {
  return { ingress: direction(policies?.ingress, family), egress: direction(policies?.egress, family) };
}

function direction(allowances: Allowances | undefined, family: Family): DirectionElements {
  return { enforce: allowed(allowances?.enforce, family), audit: allowed(allowances?.audit, family) };
}

function allowed(list: readonly Allowed[] | undefined, family: Family): AllowedElements {
  if (list === undefined) return { all: [everyAddress[family]], some: [] };
  const own = list.filter(({ addresses }) => familyOf(addresses) === family);
  return {
    all: own.flatMap(({ addresses, protocol }) => (protocol === undefined ? [addresses] : [])),
    some: own.flatMap(({ addresses, protocol, ports }) =>
      protocol === undefined ? [] : [`${addresses} . ${protocol} . ${ports?.first ?? 0}-${ports?.last ?? 65535}`],
    ),
  };
}
