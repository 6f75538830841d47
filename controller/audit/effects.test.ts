import { expect } from 'chai';
import type { IContainer } from 'kubernetes-models/v1/Container';
import { audited, candidate, careful, ofRule } from './testdata/pods.ts';
import type { RuleId } from './rules.ts';

/** `app` (the primary) serves 8080, `side` 9090 with a probe on 9091, `quiet` declares nothing. */
const containers: readonly IContainer[] = [
  careful('app', 1, { ports: [{ containerPort: 8080 }] }),
  careful('side', 2, {
    ports: [{ containerPort: 9090 }, { containerPort: 9091 }, { containerPort: 5300, protocol: 'UDP' }],
    readinessProbe: { tcpSocket: { port: 9091 } },
  }),
  careful('quiet', 3),
];

function effects(
  rule: RuleId,
  annotations: Readonly<Record<string, string>>,
  given = containers,
): Readonly<Record<string, string>> {
  const found = ofRule(audited(candidate(given, { annotations })).findings, rule);
  return Object.fromEntries(
    found.flatMap(({ actor, victims, isolate, split }) =>
      victims.map((victim) => [
        `${actor}>${victim.kind === 'container' ? victim.name : victim.kind}`,
        `${isolate.effect} ${split.effect}`,
      ]),
    ),
  );
}

const flows = 'podsplit.io/flows';

/** What docs/security.md says holds, and what it lists as open. */
describe('what the modes do about a finding', () => {
  it('by default leaves declared ports open, and closes all else', () => {
    expect(effects('DeclaredPort', {})).to.deep.equal({
      'app>side': 'stays stays',
      'side>app': 'stays stays',
      'quiet>app': 'stays stays',
      'quiet>side': 'stays stays',
    });
    expect(new Set(Object.values(effects('UndeclaredPort', {})))).to.deep.equal(new Set(['closed closed']));
  });

  it('without a flow closes declared ports, but for Services and probes', () => {
    expect(effects('DeclaredPort', { [flows]: 'none' })).to.deep.equal({
      // The node is let in for the probe of 9091; and 9090 the primary reaches by its own Service.
      'app>side': 'lessened lessened',
      'side>app': 'lessened lessened',
      'quiet>app': 'lessened lessened',
      'quiet>side': 'lessened lessened',
    });
    const [app, side, quiet] = containers;
    const unprobed = { ...side, name: 'side', ports: [{ containerPort: 9090 }] };
    Reflect.deleteProperty(unprobed, 'readinessProbe');
    expect(effects('DeclaredPort', { [flows]: 'none' }, [app!, unprobed, quiet!])).to.include({
      'app>side': 'lessened lessened',
      'quiet>side': 'lessened closed',
    });
  });

  it('opens what the flows name, all of it or some', () => {
    expect(effects('DeclaredPort', { [flows]: 'quiet->app:8080, quiet->side:9090' })).to.include({
      'quiet>app': 'stays stays',
      'quiet>side': 'lessened lessened',
    });
    expect(effects('UndeclaredPort', { [flows]: 'app->quiet:7000' })).to.include({
      'app>quiet': 'lessened lessened',
      'side>quiet': 'closed closed',
    });
  });

  it('closes nothing between containers while it observes, but what they cannot share', () => {
    const observe = { [flows]: 'observe' };
    expect(new Set(Object.values(effects('DeclaredPort', observe)))).to.deep.equal(new Set(['stays stays']));
    expect(new Set(Object.values(effects('UndeclaredPort', observe)))).to.deep.equal(new Set(['stays stays']));
    expect(new Set(Object.values(effects('PortTakeover', observe)))).to.deep.equal(new Set(['stays lessened']));
    expect(new Set(Object.values(effects('AbstractSocket', observe)))).to.deep.equal(new Set(['stays closed']));
  });

  it('keeps a container that has one way out from Services too', () => {
    const kept = { [flows]: 'none', 'podsplit.io/egress-via': 'app->side:9090' };
    expect(effects('DeclaredPort', kept)).to.include({ 'app>side': 'closed closed' });
    expect(effects('Egress', kept)).to.deep.equal({
      'app>outside': 'closed closed',
      'side>outside': 'stays stays',
      'quiet>outside': 'stays stays',
    });
    expect(effects('MetadataService', kept)).to.include({ 'app>node': 'closed closed', 'side>node': 'stays stays' });
    const withDns = { ...kept, 'podsplit.io/egress-dns': 'cluster' };
    expect(effects('Egress', withDns)).to.include({ 'app>outside': 'lessened lessened' });
    expect(effects('MetadataService', withDns)).to.include({ 'app>node': 'closed closed' });
  });

  it('lets clients in by one container only where that is asked for', () => {
    const via = { [flows]: 'side->app:8080', 'podsplit.io/ingress-via': 'side:9090' };
    expect(effects('DeclaredPort', via)).to.include({
      'quiet>app': 'lessened closed',
      'quiet>side': 'lessened lessened',
      'side>app': 'stays stays',
    });
  });

  it('tells datagrams from connections where a port is taken', () => {
    expect(effects('PortTakeover', {})).to.include({ 'app>side': 'lessened closed', 'side>app': 'closed closed' });
  });

  it('leaves the primary what it carries, and a container in install mode init the bridge', () => {
    const raw = containers.map((container) => ({ ...container, securityContext: { runAsUser: 0 } }));
    expect(effects('PacketSocket', {}, raw)).to.include({
      'app>quiet': 'refused lessened',
      'side>app': 'refused closed',
    });
    expect(effects('ForgedFrames', {}, raw)).to.include({ 'app>pods': 'refused closed' });
    const init = { 'podsplit.io/install': 'init' };
    expect(effects('PacketSocket', init, raw)).to.include({ 'side>app': 'refused lessened' });
    expect(effects('ForgedFrames', init, raw)).to.include({ 'app>pods': 'refused stays' });
  });

  it('separates memory by Pods, and by users where they were not told apart', () => {
    expect(effects('SharedIpc', {})).to.include({ 'app>side': 'stays closed' });
    const same = containers.map((container) => ({ ...container, securityContext: { runAsUser: 1 } }));
    expect(effects('SharedIpc', {}, same)).to.include({ 'app>side': 'lessened closed' });
  });
});
