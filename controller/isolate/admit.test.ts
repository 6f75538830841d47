import { expect } from 'chai';
import fc from 'fast-check';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Guard } from '../api/guards.ts';
import { exactQuantity } from '../api/quantity.ts';
import { restrictedConflicts } from '../split/checks/restricted.ts';
import { cutPod } from '../split/cut.ts';
import { fillResources } from '../split/fill-resources.ts';
import { harden, hardeningGaps } from '../split/harden.ts';
import { missingResources } from '../split/missing-resources.ts';
import { split } from '../split/split.ts';
import { tokenPath } from '../split/token.ts';
import { corpusOptions } from '../split/testdata/corpus.ts';
import { admit, type AdmitOptions } from './admit.ts';
import { isolate } from './isolate.ts';

const options = (...guards: readonly Guard[]): AdmitOptions => ({ ...corpusOptions, guards });

function podOf(containers: readonly Partial<IContainer>[], annotations: Record<string, string> = {}): IPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', annotations: { 'podsplit.io/mode': 'split', ...annotations } },
    spec: { containers: containers.map((container, index) => ({ name: `c${index}`, image: 'c', ...container })) },
  };
}

function codes({ judgement }: ReturnType<typeof admit>): readonly string[] {
  return judgement.kind === 'refused' ? judgement.refusals.map(({ code }) => code) : [judgement.kind];
}

describe('a Pod under admission', () => {
  const open = podOf([{}, {}]);

  it('is judged by the guards of its annotation, else by those that hold otherwise', () => {
    expect(codes(admit(open, options('resources')))).to.deep.equal(['MissingResources', 'MissingResources']);
    expect(codes(admit(open, options('token')))).to.deep.equal(['split']);
    const named = podOf([{}, {}], { 'podsplit.io/guards': 'resources' });
    expect(codes(admit(named, options()))).to.deep.equal(['MissingResources', 'MissingResources']);
    const without = podOf([{}, {}], { 'podsplit.io/guards': 'none' });
    expect(codes(admit(without, options('resources', 'hardening')))).to.deep.equal(['split']);
  });

  describe('of mode isolate', () => {
    const isolated = (containers: readonly Partial<IContainer>[], changed: Record<string, string> = {}): IPod =>
      podOf(containers, { 'podsplit.io/mode': 'isolate', 'podsplit.io/assign-users': 'true', ...changed });

    it('hears of the guard that writes what it lacks, which does', () => {
      const { judgement } = admit(isolated([{}, {}]), options('token'));
      if (judgement.kind !== 'refused') throw new Error(judgement.kind);
      const hint = ', or have podsplit write it: podsplit.io/guards=all, or a list with "hardening".';
      expect(new Set(judgement.refusals.map(({ code, action }) => `${code} ${action}`))).to.deep.equal(
        new Set([`PrivilegeEscalation Set it to false${hint}`, `IdentityCapability Set it to [ALL]${hint}`]),
      );
      const hardened = isolated([{}, {}], { 'podsplit.io/guards': 'token,hardening' });
      expect(codes(admit(hardened, options('token')))).to.deep.equal(['isolate']);
    });

    it('does not hear of it where it writes nothing, or refuses the Pod', () => {
      const actions = (pod: IPod): readonly string[] => {
        const { judgement } = admit(pod, options('token'));
        return judgement.kind === 'refused' ? judgement.refusals.map(({ action }) => action) : [];
      };
      const stated = isolated([{ securityContext: { allowPrivilegeEscalation: true } }, {}]);
      expect(actions(stated).filter((action) => action.includes('hardening'))).to.deep.equal([]);
      const root = isolated([{}, { securityContext: { runAsUser: 0 } }]);
      expect(actions(root).filter((action) => action.includes('hardening'))).to.deep.equal([]);
    });

    it('is warned of the volumes that users share whom nobody chose', () => {
      const secure = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
      const mounting = (...volumes: readonly string[]): Partial<IContainer> => ({
        securityContext: secure,
        volumeMounts: volumes.map((name) => ({ name, mountPath: `/${name}` })),
      });
      const warningOf = (
        fsGroup?: number,
        mounts: readonly (readonly string[])[] = [
          ['a', 'b', 'c'],
          ['a', 'c'],
        ],
      ) => {
        const pod = isolated(mounts.map((names) => mounting(...names)));
        const volumes = [
          { name: 'a', emptyDir: {} },
          { name: 'b', emptyDir: {} },
          { name: 'c', configMap: { name: 'c' } },
        ];
        const spec = { ...pod.spec!, volumes, ...(fsGroup !== undefined && { securityContext: { fsGroup } }) };
        const { judgement } = admit({ ...pod, spec }, options('token'));
        if (judgement.kind !== 'isolate') throw new Error(judgement.kind);
        return judgement.reasons.find(({ code }) => code === 'UsersAssigned')?.message;
      };
      const general = 'Containers without a runAsUser get one; what their images expect to own, they do not.';
      expect(warningOf()).to.equal(
        `${general} As different users they share the volume "a": ` +
          'set securityContext.fsGroup of the Pod, and let them write files for the group (umask 002).',
      );
      expect(warningOf(2000)).to.equal(
        `${general} As different users they share the volume "a": let them write files for the group (umask 002).`,
      );
      expect(warningOf(undefined, [['a'], ['b']])).to.equal(general);
    });
  });

  for (const [guards, rest] of [
    [['token', 'resources'], 'token'],
    [['token', 'resources', 'hardening'], 'token,hardening'],
    [['resources', 'hardening'], 'hardening'],
    [['resources'], 'none'],
  ] as const) {
    it(`is told what to write for no bounds: ${guards.join(', ')}`, () => {
      const { judgement } = admit(podOf([{}, {}]), options(...guards));
      if (judgement.kind !== 'refused') throw new Error(judgement.kind);
      expect(judgement.refusals.map(({ action }) => action)).to.include(
        `State them, or set podsplit.io/guards to "${rest}".`,
      );
      // And that is what helps.
      const told = podOf([{}, {}], { 'podsplit.io/guards': rest });
      expect(codes(admit(told, options(...guards)))).to.deep.equal(['split']);
    });
  }

  it('hears of all reasons at once, whoever gives them', () => {
    const pod = podOf([{ securityContext: { runAsUser: 0 } }, {}], { 'podsplit.io/primary': 'nobody' });
    expect(codes(admit(pod, options('resources', 'hardening')))).to.deep.equal([
      'UnknownContainer',
      'MissingResources',
      'MissingResources',
      'HardeningConflict',
    ]);
  });

  it('that runs already, or has nothing to split, no guard stops', () => {
    expect(split(open, options('resources')).kind).to.equal('split');
    expect(codes(admit(podOf([{}]), options('resources', 'hardening')))).to.deep.equal(['left-alone']);
    const opted = podOf([{}, {}], { 'podsplit.io/mode': 'none' });
    expect(codes(admit(opted, options('resources')))).to.deep.equal(['left-alone']);
  });

  const mistaken: readonly IVolume[] = [
    { name: 'kube-api-access-x', secret: { secretName: 'token' } },
    { name: 'kube-api-access-0', configMap: { name: 'token' } },
    { name: 'kube-api-access-x', emptyDir: {} },
    { name: 'kube-api-access-x', projected: { sources: [{ secret: { name: 'token' } }] } },
  ];
  for (const volume of mistaken) {
    it(`has no volume that Kubernetes takes for the token: ${JSON.stringify(volume)}`, () => {
      const mount = { name: volume.name, mountPath: tokenPath, readOnly: true };
      const user = (runAsUser: number) => ({
        runAsUser,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      });
      const of = (mode: string): IPod => {
        const pod = podOf(
          [1, 2].map((uid) => ({ volumeMounts: [mount], securityContext: user(uid) })),
          { 'podsplit.io/mode': mode },
        );
        return { ...pod, spec: { ...pod.spec!, volumes: [volume] } };
      };
      for (const mode of ['split', 'isolate']) {
        expect(codes(admit(of(mode), options('token'))), mode).to.include('ReservedName');
        expect(codes(admit(of(mode), options('resources'))), mode).to.not.include('ReservedName');
      }
      // One that runs is not judged by it.
      expect(isolate(of('isolate'), options('token')).kind).to.equal('isolate');
    });
  }

  it('gives no token to what a later webhook injects, unless by a volume of its own', () => {
    const own: IVolume = { name: 'injector', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } };
    const given = podOf([{}, {}], { 'podsplit.io/token': 'c0' });
    const whole: IPod = { ...given, spec: { ...given.spec!, volumes: [own] } };
    const first = admit(whole, options('token'));
    if (first.judgement.kind !== 'split') throw new Error(first.judgement.kind);
    const cut = cutPod(first.pod, first.judgement, options('token'));
    const mountsOf = (injected: Partial<IContainer>): unknown => {
      const containers = [...cut.spec!.containers, { name: 'late', image: 'l', ...injected }];
      const { judgement } = admit({ ...cut, spec: { ...cut.spec!, containers } }, options('token'));
      if (judgement.kind !== 'split') throw new Error(judgement.kind);
      return judgement.siblings.find(({ name }) => name === 'late')?.container.volumeMounts?.map(({ name }) => name);
    };
    const { volumeMounts = [] } = cut.spec!.containers[0]!;
    expect(volumeMounts.map(({ mountPath }) => mountPath)).to.deep.equal([tokenPath]);
    expect(mountsOf({ volumeMounts })).to.equal(undefined);
    expect(mountsOf({ volumeMounts: [{ name: own.name, mountPath: '/injector' }] })).to.deep.equal([own.name]);
  });

  it('gets the defaults of its own SplitNetwork only', () => {
    const of = (network: string) => podOf([{}, {}], { 'podsplit.io/network': network });
    expect(codes(admit(of('of-defaults'), options('resources')))).to.deep.equal(['split']);
    expect(codes(admit(of('other'), options('resources')))).to.include('MissingResources');
    const { pod } = admit(of('of-defaults'), options('token'));
    expect(pod.spec?.containers[0]).to.not.have.property('resources');
  });
});

const amount = fc.constantFrom('1m', '10m', '0.2', '1', '16Mi', '64Mi', '1Gi');
const amounts = fc.record({ cpu: amount, memory: amount }, { requiredKeys: [], noNullPrototype: true });
const both = fc.record({ requests: amounts, limits: amounts }, { requiredKeys: [], noNullPrototype: true });
const valueOf = (text: unknown): number => exactQuantity(String(text)) ?? Number.NaN;

function isBelow({ requests, limits }: NonNullable<IContainer['resources']> = {}, resource: 'cpu' | 'memory'): boolean {
  const [request, limit] = [requests?.[resource], limits?.[resource]];
  return request === undefined || limit === undefined || valueOf(request) <= valueOf(limit);
}

describe('defaults of resources', () => {
  it('leave what is stated as it is, never make a request above its limit, and fill once', () => {
    fc.assert(
      fc.property(both, both, (stated, defaults) => {
        const filled = fillResources(podOf([{ resources: stated }]), defaults, 'n');
        const [container] = filled.pod.spec?.containers ?? [];
        for (const list of ['requests', 'limits'] as const) {
          for (const [resource, value] of Object.entries(stated[list] ?? {})) {
            expect(container?.resources?.[list]?.[resource]).to.equal(value);
          }
        }
        for (const resource of ['cpu', 'memory'] as const) {
          // Who states both has to get them right; podsplit asks the API server then.
          if (stated.requests?.[resource] !== undefined && stated.limits?.[resource] !== undefined) continue;
          expect(isBelow(container?.resources, resource)).to.equal(true);
        }
        expect(fillResources(filled.pod, defaults, 'n').reasons).to.deep.equal([]);
      }),
    );
  });

  it('are compared with requests exactly', () => {
    const stated = { resources: { requests: { cpu: '700m' } } };
    const { pod } = fillResources(podOf([stated]), { limits: { cpu: '0.7', memory: '64Mi' } }, 'n');
    expect(missingResources(pod, [])).to.deep.equal([]);
  });

  it('that give everything leave nothing missing where nothing is stated', () => {
    const { pod } = fillResources(podOf([{}, {}]), { limits: { cpu: 1, memory: '64Mi' } }, 'n');
    expect(missingResources(pod, [])).to.deep.equal([]);
    expect(pod.spec?.containers[0]?.resources?.requests).to.deep.equal({ cpu: 1, memory: '64Mi' });
  });
});

describe('resources that are stated', () => {
  const missingOf = (...list: readonly NonNullable<IContainer['resources']>[]) =>
    missingResources(podOf(list.map((resources) => ({ resources }))), []).map(({ message }) => message);

  it('bound a container unless its limit is 0, which is none', () => {
    for (const zero of ['0', 0, '0m', '0.0', '0Gi', '0e3', '+0']) {
      const resources = { requests: { cpu: '0', memory: '0' }, limits: { cpu: zero, memory: '1Gi' } };
      expect(missingOf(resources), String(zero)).to.deep.equal(['Container "c0" states no limits.cpu above 0.']);
    }
    expect(missingOf({ limits: { cpu: '0', memory: 0 } })).to.deep.equal([
      'Container "c0" states no limits.cpu above 0, limits.memory above 0.',
    ]);
  });

  it('need no request beside a limit, and may be small', () => {
    expect(missingOf({ limits: { cpu: '1m', memory: 1 } }, { limits: { cpu: '1n', memory: '1e-3' } })).to.deep.equal(
      [],
    );
  });

  it('stay 0 where the SplitNetwork gives something else', () => {
    const zero = podOf([{ resources: { limits: { cpu: '0', memory: '1Gi' } } }]);
    const { pod } = fillResources(zero, { limits: { cpu: 1 } }, 'n');
    expect(missingResources(pod, []).map(({ code }) => code)).to.deep.equal(['MissingResources']);
  });
});

const flag = fc.option(fc.boolean(), { nil: undefined });
const profile = fc.option(fc.constantFrom({ type: 'RuntimeDefault' }, { type: 'Unconfined' }), { nil: undefined });
const names = fc.subarray(['ALL', 'CHOWN', 'NET_BIND_SERVICE', 'SYS_ADMIN']);
const context = fc
  .record({
    allowPrivilegeEscalation: flag,
    privileged: flag,
    runAsNonRoot: flag,
    runAsUser: fc.option(fc.constantFrom(0, 1000), { nil: undefined }),
    seccompProfile: profile,
    capabilities: fc.option(fc.record({ add: names, drop: names }), { nil: undefined }),
  })
  .map((given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));

describe('hardening', () => {
  it('meets the standard or says where it does not, changes nothing that is stated, and is done once', () => {
    fc.assert(
      fc.property(context, context, (own, { runAsNonRoot, runAsUser, seccompProfile }) => {
        const pod = podOf([{ securityContext: own }]);
        const shared = Object.fromEntries(
          Object.entries({ runAsNonRoot, runAsUser, seccompProfile }).filter(([, value]) => value !== undefined),
        );
        const given: IPod = { ...pod, spec: { ...pod.spec!, securityContext: shared } };
        const hardened = harden(given);
        const [container] = hardened.pod.spec?.containers ?? [];
        const { capabilities, ...rest } = own;
        expect(container?.securityContext).to.include(rest);
        if (capabilities !== undefined) {
          expect(container?.securityContext?.capabilities?.add).to.deep.equal((capabilities as { add: unknown }).add);
        }
        expect(harden(hardened.pod).reasons).to.deep.equal([]);
        expect(isRestricted(hardened.pod)).to.equal(restrictedConflicts(hardened.pod).length === 0);
      }),
      { numRuns: 500 },
    );
  });

  it('knows the annotations of AppArmor, and whom probes and hooks call', () => {
    const paths = (container: Partial<IContainer>, profile?: string) =>
      restrictedConflicts(
        podOf(
          [container],
          profile === undefined ? {} : { 'container.apparmor.security.beta.kubernetes.io/c0': profile },
        ),
      ).map(({ path }) => path);
    for (const profile of ['', 'runtime/default', 'localhost/c0']) {
      expect(paths({}, profile), profile).to.deep.equal([]);
    }
    for (const profile of ['unconfined', 'Runtime/default', 'other']) {
      const path = 'metadata.annotations[container.apparmor.security.beta.kubernetes.io/c0]';
      expect(paths({}, profile), profile).to.deep.equal([path]);
    }
    const call = { httpGet: { port: 80, host: '10.0.0.1' } };
    expect(paths({ livenessProbe: call, lifecycle: { preStop: call } })).to.deep.equal([
      'spec.containers[0].livenessProbe.httpGet.host',
      'spec.containers[0].lifecycle.preStop.httpGet.host',
    ]);
    expect(paths({ startupProbe: { tcpSocket: { port: 80, host: 'x' } } })).to.deep.equal([
      'spec.containers[0].startupProbe.tcpSocket.host',
    ]);
    expect(paths({ readinessProbe: { httpGet: { port: 80, host: '' } } })).to.deep.equal([]);
  });

  it('says what is open without changing it', () => {
    const [gap, ...others] = hardeningGaps(podOf([{ securityContext: { runAsNonRoot: true } }]));
    expect(others).to.deep.equal([]);
    expect(gap).to.include({ code: 'NotHardened', piece: 'c0', path: 'spec.containers[0].securityContext' });
    expect(gap?.message).to.contain('capabilities.drop ALL').and.to.not.contain('runAsNonRoot');
  });
});

/** As pod-security-admission judges a Pod's only container, written down independently. */
function isRestricted({ spec }: IPod): boolean {
  const shared = spec?.securityContext ?? {};
  const own = spec?.containers[0]?.securityContext ?? {};
  const { add = [], drop = [] } = own.capabilities ?? {};
  const either = (field: 'seccompProfile' | 'runAsNonRoot' | 'runAsUser') => [own[field], shared[field]];
  const judgements = [
    own.allowPrivilegeEscalation === false,
    own.privileged !== true,
    drop.includes('ALL'),
    add.every((name) => name === 'NET_BIND_SERVICE'),
    (own.seccompProfile ?? shared.seccompProfile)?.type === 'RuntimeDefault',
    shared.seccompProfile?.type !== 'Unconfined',
    (own.runAsNonRoot ?? shared.runAsNonRoot) === true,
    either('runAsNonRoot').every((value) => value !== false),
    either('runAsUser').every((value) => value !== 0),
  ];
  return judgements.every(Boolean);
}
