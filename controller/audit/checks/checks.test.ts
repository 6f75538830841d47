import { expect } from 'chai';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { audited, candidate, careful, findings, ofRule } from '../testdata/pods.ts';
import { nameOfVictim } from '../rules.ts';

const port = (containerPort: number, name?: string, protocol?: 'UDP' | 'SCTP') => ({
  containerPort,
  ...(name === undefined ? {} : { name }),
  ...(protocol === undefined ? {} : { protocol }),
});
const mount = (name: string, more: object = {}) => ({ name, mountPath: `/${name}`, ...more });
const rootful: Partial<IContainer> = { securityContext: { runAsUser: 0, capabilities: { drop: [] } } };

/** What stays, whatever two containers say of themselves: they are in one Pod. */
const always = ['UndeclaredPort', 'AbstractSocket', 'SharedIpc', 'Egress', 'MetadataService'];

describe('the rules of the audit', () => {
  it('find nothing but what every Pod has in one whose containers are careful', () => {
    const found = findings({}, {});
    expect([...new Set(found.map(({ rule }) => rule))].toSorted()).to.deep.equal(always.toSorted());
    expect(found).to.have.length(10);
  });

  it('tell ordinary ports from those that administer, by number, name or probe', () => {
    const b = {
      ports: [port(8080), port(9901), port(7000, 'web-admin'), port(9902, 'metrics'), port(53, 'debug', 'UDP')],
      livenessProbe: { httpGet: { port: 4191 } },
    };
    const found = findings({}, b);
    expect(ofRule(found, 'AdminPort').map(({ victims }) => victims)).to.deep.equal([
      [
        {
          kind: 'container',
          name: 'b',
          detail: '9901/tcp, Envoy admin; 7000/tcp web-admin, by its name; 4191/tcp, Linkerd proxy admin',
        },
      ],
    ]);
    expect(ofRule(found, 'DeclaredPort').map(({ message }) => message)).to.deep.equal([
      'a can call b (8080/tcp, 9902/tcp metrics, 53/udp debug) by loopback and the Pod IP; no NetworkPolicy is asked.',
    ]);
  });

  it('say that who starts first takes a port first', () => {
    const [early] = ofRule(findings({}, { ports: [port(80)] }), 'PortTakeover');
    const [late] = ofRule(findings({ ports: [port(80)] }, {}), 'PortTakeover');
    expect(early?.evidence.map(({ path }) => path)).to.deep.equal(['spec.containers[0]', 'spec.containers[1].ports']);
    expect(late?.evidence.map(({ path }) => path)).to.deep.equal(['spec.containers[0].ports']);
  });

  it('find packet sockets of those that have, may have or may bear NET_RAW', () => {
    const severities = (context: IContainer['securityContext']) =>
      ['PacketSocket', 'ForgedFrames'].map(
        (rule) =>
          ofRule(findings({ securityContext: { capabilities: {}, ...context } }), rule as 'PacketSocket', 'a')[0]
            ?.severity,
      );
    expect(severities({ runAsUser: 0 })).to.deep.equal(['high', 'medium']);
    expect(severities({})).to.deep.equal(['medium', 'low']);
    expect(severities({ capabilities: { drop: ['NET_RAW'] } })).to.deep.equal([undefined, undefined]);
  });

  it('find who controls the network, init containers too, and nobody without a capability for it', () => {
    const init = { name: 'init', securityContext: { runAsUser: 0, capabilities: { add: ['NET_ADMIN'] } } };
    const found = findings({}, {}, { initContainers: [init] });
    const [finding] = ofRule(found, 'NetworkControl');
    expect(finding?.actor).to.equal('init');
    expect(finding?.victims.map(nameOfVictim)).to.deep.equal(['a', 'b']);
    expect(finding?.split.effect).to.equal('refused');
    expect(finding?.isolate.effect).to.equal('refused');
    expect(ofRule(findings(rootful), 'NetworkControl')).to.be.empty;
  });

  describe('of files', () => {
    const emptyDir: IVolume = { name: 'data', emptyDir: {} };
    const shared = (a: object, b: object, volume: IVolume = emptyDir) =>
      ofRule(
        findings(
          { volumeMounts: [mount(volume.name, a)] },
          { volumeMounts: [mount(volume.name, b)] },
          { volumes: [volume] },
        ),
        'SharedFiles',
      ).map(({ actor, victims, severity }) => `${severity} ${actor}: ${victims[0]?.detail ?? ''}`);

    it('say who writes and who reads', () => {
      expect(shared({}, {})).to.deep.equal(['medium a: writes to volume data', 'medium b: writes to volume data']);
      expect(shared({}, { readOnly: true })).to.deep.equal([
        'medium a: writes to volume data',
        'medium b: reads volume data',
      ]);
      expect(shared({ readOnly: true }, { readOnly: true })).to.deep.equal([]);
    });

    it('find none where the paths in the volume do not meet', () => {
      expect(shared({ subPath: 'a' }, { subPath: 'b' })).to.deep.equal([]);
      expect(shared({ subPath: 'a' }, { subPath: 'ab' })).to.deep.equal([]);
      expect(shared({ subPath: 'a/' }, { subPath: './a/b' })).to.have.length(2);
      expect(shared({ subPath: 'a' }, {})).to.have.length(2);
      expect(shared({ subPathExpr: '$(POD)' }, { subPath: 'b' })).to.have.length(2);
    });

    it('find none in what the kubelet alone writes, or nobody', () => {
      for (const source of [
        { configMap: { name: 'x' } },
        { secret: { secretName: 'x' } },
        { projected: {} },
        { downwardAPI: {} },
      ]) {
        expect(shared({}, {}, { name: 'data', ...source })).to.deep.equal([]);
      }
      expect(shared({}, {}, { name: 'data', persistentVolumeClaim: { claimName: 'x', readOnly: true } })).to.deep.equal(
        [],
      );
      expect(shared({}, {}, { name: 'data', persistentVolumeClaim: { claimName: 'x' } })).to.have.length(2);
    });

    it('take those with a telling name for secrets', () => {
      expect(shared({}, { readOnly: true }, { name: 'vault-secrets', emptyDir: { medium: 'Memory' } })).to.deep.equal([
        'high a: writes to volume vault-secrets',
        'high b: reads volume vault-secrets',
      ]);
    });

    it('say that a split refuses a volume that pieces cannot share, and keeps all others as they are', () => {
      const effects = (volume: IVolume, annotations = {}) =>
        ofRule(
          findings(
            { volumeMounts: [mount('data')] },
            { volumeMounts: [mount('data')] },
            { volumes: [volume], annotations },
          ),
          'SharedFiles',
          'a',
        ).map(({ isolate, split }) => [isolate.effect, split.effect]);
      expect(effects(emptyDir)).to.deep.equal([['stays', 'stays']]);
      expect(effects({ name: 'data', emptyDir: { medium: 'HugePages' } })).to.deep.equal([['stays', 'refused']]);
      expect(effects({ name: 'data', ephemeral: {} })).to.deep.equal([['stays', 'refused']]);
      expect(effects(emptyDir, { 'podsplit.io/install': 'init' })).to.deep.equal([['stays', 'refused']]);
    });
  });

  it('find a Secret that two are given, by volume or environment, if the keys meet', () => {
    const env = (name: string, key: string) => ({ env: [{ name: 'X', valueFrom: { secretKeyRef: { name, key } } }] });
    const shared = (a: Partial<IContainer>, b: Partial<IContainer>, volumes: IVolume[] = []) =>
      ofRule(findings(a, b, { volumes }), 'SharedSecret').length;
    const whole: IVolume = { name: 's', secret: { secretName: 'db' } };
    const one: IVolume = {
      name: 's',
      projected: { sources: [{ secret: { name: 'db', items: [{ key: 'user', path: 'u' }] } }] },
    };
    expect(shared(env('db', 'password'), env('db', 'password'))).to.equal(2);
    expect(shared(env('db', 'password'), env('db', 'user'))).to.equal(0);
    expect(shared(env('db', 'password'), env('other', 'password'))).to.equal(0);
    expect(shared(env('db', 'password'), { envFrom: [{ secretRef: { name: 'db' } }] })).to.equal(2);
    expect(shared(env('db', 'password'), { volumeMounts: [mount('s')] }, [whole])).to.equal(2);
    expect(shared(env('db', 'password'), { volumeMounts: [mount('s', { subPath: 'user' })] }, [whole])).to.equal(0);
    expect(shared(env('db', 'password'), { volumeMounts: [mount('s')] }, [one])).to.equal(0);
    expect(shared(env('db', 'user'), { volumeMounts: [mount('s')] }, [one])).to.equal(2);
  });

  it('find who has a token: by the Pod, its account, or a volume of it', () => {
    const actors = (given: Parameters<typeof findings>[2], a: Partial<IContainer> = {}) =>
      ofRule(
        findings(a, {}, { automountServiceAccountToken: undefined as never, ...given }),
        'ServiceAccountToken',
      ).map(({ actor, severity }) => `${actor} ${severity}`);
    expect(actors({})).to.deep.equal(['a low', 'b low']);
    expect(actors({ serviceAccountName: 'app' })).to.deep.equal(['a medium', 'b medium']);
    expect(actors({ automountServiceAccountToken: false })).to.deep.equal([]);
    expect(actors({ facts: { accountMountsToken: false } })).to.deep.equal([]);
    expect(actors({ automountServiceAccountToken: true, facts: { accountMountsToken: false } })).to.have.length(2);
    const token = (audience?: string): IVolume => ({
      name: 't',
      projected: { sources: [{ serviceAccountToken: { path: 't', ...(audience === undefined ? {} : { audience }) } }] },
    });
    const mounting = { volumeMounts: [mount('t')] };
    const admitted = { facts: { admitted: true } };
    expect(actors({ ...admitted, volumes: [token()] }, mounting)).to.deep.equal(['a low']);
    expect(actors({ ...admitted, volumes: [token('vault')] }, mounting)).to.deep.equal([]);
    expect(actors({ ...admitted, volumes: [token('https://kubernetes.default.svc')] }, mounting)).to.deep.equal([
      'a low',
    ]);
  });

  it('say whose token is taken, and whose is not', () => {
    const effects = (annotations: Readonly<Record<string, string>>, a: Partial<IContainer> = {}, given: object = {}) =>
      ofRule(
        findings(a, {}, { automountServiceAccountToken: undefined as never, annotations, ...given }),
        'ServiceAccountToken',
      ).map(({ actor, isolate, split }) => `${actor} ${isolate.effect} ${split.effect}`);
    expect(effects({})).to.deep.equal(['a closed closed', 'b closed closed']);
    expect(effects({ 'podsplit.io/token': 'a' })).to.deep.equal(['a stays stays', 'b closed closed']);
    expect(effects({ 'podsplit.io/guards': 'resources' })).to.deep.equal(['a stays stays', 'b stays stays']);
    const volume = (name: string): IVolume => ({
      name,
      projected: { sources: [{ serviceAccountToken: { path: 'token' } }] },
    });
    const path = '/var/run/secrets/kubernetes.io/serviceaccount';
    const mounting = (name: string) => ({ volumeMounts: [{ name, mountPath: path }] });
    const admitted = (name: string) => ({ facts: { admitted: true }, volumes: [volume(name)] });
    expect(effects({}, mounting('mine'), admitted('mine'))).to.deep.equal(['a stays stays']);
    expect(effects({}, mounting('kube-api-access-x7k2p'), admitted('kube-api-access-x7k2p'))).to.deep.equal([
      'a closed closed',
    ]);
    // It opted in before there was a guard: as it runs, it has its token.
    const before = { 'podsplit.io/mode': 'isolate' };
    expect(effects(before, mounting('kube-api-access-x7k2p'), admitted('kube-api-access-x7k2p'))).to.deep.equal([
      'a stays stays',
    ]);
  });

  it('say what containers of one process namespace can do to each other', () => {
    const power = (a: Partial<IContainer>, b: Partial<IContainer>, spec: object = { shareProcessNamespace: true }) =>
      ofRule(findings(a, b, spec), 'SharedProcesses', 'a').map(
        ({ victims, severity }) => `${severity}: ${victims[0]?.detail ?? ''}`,
      );
    expect(power({}, {})).to.deep.equal(['low: sees command lines']);
    expect(power(rootful, {})).to.deep.equal(['high: ends them']);
    expect(power({}, { securityContext: { runAsUser: 1000 } })).to.deep.equal([
      'high: reads memory and files, and ends them',
    ]);
    const tracer = { securityContext: { runAsUser: 0, capabilities: { add: ['SYS_PTRACE'] } } };
    expect(power(tracer, {})).to.deep.equal(['high: reads memory and files, and ends them']);
    expect(power({}, {}, {})).to.deep.equal([]);
    expect(power({}, {}, { hostPID: true })).to.deep.equal(['low: sees command lines']);
  });

  it('find what has no limit, and leave the node out where the whole Pod has one', () => {
    const found = (limits: Record<string, string>, spec: object = {}) =>
      ofRule(findings({ resources: { limits } }, {}, spec), 'Unlimited', 'a').map(
        ({ severity, message }) => `${severity}: ${message}`,
      );
    expect(found({ memory: '1Gi', cpu: '1' })).to.deep.equal([]);
    expect(found({ memory: '1Gi' })).to.deep.equal(['low: a can starve b and the node (CPU): it has no limit.']);
    expect(found({ cpu: '1' })).to.deep.equal(['medium: a can starve b and the node (memory): it has no limit.']);
    expect(found({}, { resources: { limits: { memory: '1Gi' } } })).to.deep.equal([
      'medium: a can starve b (memory and CPU) and the node (CPU): it has no limit.',
    ]);
  });

  it('find what leads to the node', () => {
    const has = (rule: 'Privileged' | 'NodeCapability', context: IContainer['securityContext'], spec: object = {}) =>
      ofRule(findings({ securityContext: { capabilities: {}, ...context } }, {}, spec), rule, 'a')[0]?.severity;
    expect(has('Privileged', { privileged: true })).to.equal('critical');
    expect(has('Privileged', { privileged: true }, { hostUsers: false })).to.equal('high');
    expect(has('NodeCapability', { runAsUser: 0, capabilities: { add: ['SYS_ADMIN'] } })).to.equal('critical');
    expect(has('NodeCapability', { capabilities: { add: ['SYS_ADMIN'] } })).to.equal('high');
    expect(
      has('NodeCapability', { runAsUser: 0, capabilities: { add: ['SYS_ADMIN'] } }, { hostUsers: false }),
    ).to.equal(undefined);
    expect(has('NodeCapability', { runAsUser: 0, capabilities: { add: ['SYS_PTRACE'] } })).to.equal(undefined);
    expect(has('NodeCapability', { runAsUser: 0, capabilities: { add: ['SYS_PTRACE'] } }, { hostPID: true })).to.equal(
      'critical',
    );
    expect(has('NodeCapability', { runAsUser: 0, capabilities: { add: ['NET_ADMIN'] } })).to.equal(undefined);
  });

  it('weigh a path of the node by what is there, who reads it, and whether he writes', () => {
    const severity = (path: string, { readOnly = false, root = true } = {}) =>
      ofRule(
        findings(
          { ...(root ? rootful : {}), volumeMounts: [mount('host', { readOnly })] },
          {},
          { volumes: [{ name: 'host', hostPath: { path } }] },
        ),
        'HostPath',
      )[0]?.severity;
    expect(severity('/')).to.equal('critical');
    expect(severity('/etc/kubernetes/manifests')).to.equal('critical');
    expect(severity('/var/log')).to.equal('high');
    expect(severity('/data/models')).to.equal('high');
    expect(severity('/data/models', { readOnly: true })).to.equal('medium');
    expect(severity('/var/lib/kubelet/pods', { readOnly: true })).to.equal('high');
    expect(severity('/run/containerd/containerd.sock', { readOnly: true })).to.equal('critical');
    expect(severity('/var/run/', { readOnly: true })).to.equal('critical');
    expect(severity('/var/run', { readOnly: true, root: false })).to.equal('high');
    expect(severity('/etc', { readOnly: true, root: false })).to.equal('medium');
  });

  it('find the namespaces of the node, which both modes refuse', () => {
    const found = findings({}, {}, { hostNetwork: true, hostPID: true, hostIPC: true });
    for (const rule of ['HostNetwork', 'HostPID', 'HostIPC'] as const) {
      expect(
        ofRule(found, rule).map(({ actor, isolate, split }) => [actor, isolate.effect, split.effect]),
      ).to.deep.equal([
        ['a', 'refused', 'refused'],
        ['b', 'refused', 'refused'],
      ]);
    }
    expect(ofRule(found, 'SharedIpc')).to.be.empty;
  });

  it('make egress low where a policy restricts it for all', () => {
    const severities = (egressPolicies: string[], hostNetwork = false) =>
      ofRule(findings({}, {}, { facts: { egressPolicies }, hostNetwork }), 'Egress').map(({ severity }) => severity);
    expect(severities([])).to.deep.equal(['medium', 'medium']);
    expect(severities(['deny'])).to.deep.equal(['low', 'low']);
    // No policy is about the node's own address.
    expect(severities(['deny'], true)).to.deep.equal(['medium', 'medium']);
  });

  it('say the same of several victims once', () => {
    const three = [careful('a', 1), careful('b', 2), careful('c', 3)];
    const found = ofRule(audited(candidate(three)).findings, 'UndeclaredPort', 'a');
    expect(found.map(({ victims }) => victims.map(nameOfVictim))).to.deep.equal([['b', 'c']]);
  });
});
