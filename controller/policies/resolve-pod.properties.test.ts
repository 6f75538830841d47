import { expect } from 'chai';
import fc from 'fast-check';
import { familyOf, numberOf } from '../rules/addresses.ts';
import type { Allowances, Allowed } from '../rules/wiring.ts';
import { resolvePod } from './resolve-pod.ts';
import { addressesOf, knownPorts, protocols, smallWorld, type SmallWorld } from './testdata/arbitrary-world.ts';
import { naiveEgress, naiveFlow, naiveIngress } from './testdata/naive-model.ts';

const resolve = ({ subject, policies, directory }: SmallWorld) => resolvePod(subject, policies, directory);

function forEveryWorld(property: (world: SmallWorld) => void): void {
  fc.assert(fc.property(smallWorld, property), { numRuns: 250 });
}

const probedPorts = [...knownPorts, 1, 65535];

function lets(list: readonly Allowed[], address: string, protocol: string, port: number): boolean {
  return list.some(({ addresses, protocol: allowed, ports }) => {
    const [first = '', last = ''] = addresses.split('-');
    if (familyOf(first) !== familyOf(address)) return false;
    const number = numberOf(address);
    if (number < numberOf(first) || number > numberOf(last)) return false;
    if (allowed === undefined) return true;
    return allowed === protocol && (ports === undefined || (ports.first <= port && port <= ports.last));
  });
}

function passes(allowances: Allowances | undefined, address: string, protocol: string, port: number): boolean {
  return allowances?.enforce === undefined || lets(allowances.enforce, address, protocol, port);
}

describe('of every small world, what is resolved', () => {
  it("lets pass on the Pods' network what the plain model lets pass, in both directions", function () {
    this.timeout(120_000);
    forEveryWorld((world) => {
      const { podNetwork } = resolve(world);
      for (const { name } of world.subject.containers) {
        const { ingress, egress } = podNetwork.get(name) ?? {};
        for (const address of addressesOf(world)) {
          for (const protocol of protocols) {
            for (const port of protocol === 'icmp' ? [0] : probedPorts) {
              const what = `${name} ${address} ${protocol} ${port}`;
              expect(passes(egress, address, protocol, port), `to: ${what}`).to.equal(
                naiveEgress(world, world.subject, name, { to: address, protocol, port }),
              );
              expect(passes(ingress, address, protocol, port), `from: ${what}`).to.equal(
                naiveIngress(world, world.subject, name, { from: address, protocol, port }),
              );
            }
          }
        }
      }
    });
  });

  it('has the flows that the plain model lets pass, and no others', function () {
    this.timeout(60_000);
    forEveryWorld((world) => {
      const { flows } = resolve(world);
      const { containers } = world.subject;
      for (const { name: from } of containers) {
        for (const { name: to } of containers.filter(({ name }) => name !== from)) {
          for (const protocol of ['tcp', 'udp'] as const) {
            for (const port of probedPorts) {
              const call = { from, to, protocol, port };
              const passing = flows.filter((flow) => JSON.stringify({ ...call, ...flow }) === JSON.stringify(call));
              expect(passing.length, JSON.stringify(call)).to.equal(naiveFlow(world, world.subject, call) ? 1 : 0);
            }
          }
        }
      }
    });
  });

  it('says of policies that audit what would be refused if they enforced', function () {
    this.timeout(60_000);
    forEveryWorld((world) => {
      const { flows, auditedFlows, podNetwork } = resolve(world);
      const enforced = {
        ...world,
        policies: world.policies.map((policy) => ({ ...policy, spec: { ...policy.spec, action: 'Enforce' as const } })),
      };
      const then = resolve(enforced);
      expect(auditedFlows).to.deep.equal(
        flows.filter((flow) => !then.flows.some((left) => JSON.stringify(left) === JSON.stringify(flow))),
      );
      for (const { name } of world.subject.containers) {
        for (const direction of ['ingress', 'egress'] as const) {
          const now = podNetwork.get(name)?.[direction];
          if (now?.enforce === undefined)
            expect(now?.audit).to.deep.equal(then.podNetwork.get(name)?.[direction]?.enforce);
          else expect(now.audit).to.equal(undefined);
        }
      }
    });
  });

  it('does not depend on the order of policies, Pods, rules and peers', () => {
    forEveryWorld((world) => {
      const { subject, directory } = world;
      const turned = resolvePod(
        subject,
        world.policies.toReversed().map((policy) => ({
          ...policy,
          spec: {
            ...policy.spec,
            ...(policy.spec.ingress && {
              ingress: policy.spec.ingress
                .toReversed()
                .map((rule) => ({ ...rule, from: (rule.from ?? []).toReversed() })),
            }),
            ...(policy.spec.egress && { egress: policy.spec.egress.toReversed() }),
          },
        })),
        { ...directory, pods: directory.pods.toReversed(), services: directory.services.toReversed() },
      );
      const { flows, auditedFlows, podNetwork } = resolve(world);
      expect({ flows: turned.flows, auditedFlows: turned.auditedFlows }).to.deep.equal({ flows, auditedFlows });
      expect(turned.podNetwork).to.deep.equal(podNetwork);
    });
  });

  it('has no problem that is not of its policies, and finds none invalid', () => {
    forEveryWorld((world) => {
      for (const { policy, code } of resolve(world).problems) {
        expect(world.policies.some(({ metadata }) => metadata.name === policy && metadata.namespace === 'a')).to.equal(
          true,
        );
        expect(code).not.to.equal('Invalid');
      }
    });
  });
});
