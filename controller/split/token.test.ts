import { expect } from 'chai';
import fc from 'fast-check';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { tokenVolumeName } from '../api/names.ts';
import { specOf } from './pod.ts';
import { guardToken, tokenKeepers, tokenPath, withoutOwnToken } from './token.ts';
import { tokenReasons } from './token-reasons.ts';

/** As the ServiceAccount admission plugin makes it. */
const injected: IVolume = {
  name: 'kube-api-access-x7k2p',
  projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: 'token' } }] },
};
const mine: IVolume = { name: 'mine', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } };
const legacy: IVolume = { name: 'default-token-abcde', secret: { secretName: 'default-token-abcde' } };

function container(name: string, ...mounts: readonly (readonly [volume: string, path: string])[]): IContainer {
  return {
    name,
    image: name,
    ...(mounts.length === 0
      ? {}
      : { volumeMounts: mounts.map(([volume, mountPath]) => ({ name: volume, mountPath })) }),
  };
}

function pod(containers: readonly IContainer[], volumes: readonly IVolume[] = [], more: object = {}): IPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    spec: { containers: [...containers], ...(volumes.length === 0 ? {} : { volumes: [...volumes] }), ...more },
  };
}

/** `a: x@/path` for each mount of each container, then the volumes. */
function said(given: IPod): readonly string[] {
  const { containers, initContainers = [], volumes = [] } = specOf(given);
  return [
    ...[...initContainers, ...containers].flatMap(({ name, volumeMounts = [] }) =>
      volumeMounts.map((mount) => `${name}: ${mount.name}@${mount.mountPath}`),
    ),
    ...volumes.map(({ name }) => name),
  ];
}

const at = (volume: IVolume, path = tokenPath): readonly [string, string] => [volume.name, path];

describe('the token guard', () => {
  it('takes the injected token from all, and gives one to those that keep it', () => {
    const given = pod([container('a', at(injected)), container('b', at(injected))], [injected], {
      initContainers: [container('setup', at(injected)), container('other', at(injected))],
    });
    expect(said(guardToken(given, []))).to.deep.equal([]);
    expect(specOf(guardToken(given, [])).automountServiceAccountToken).to.equal(false);
    expect(said(guardToken(given, ['b', 'setup']))).to.deep.equal([
      `setup: ${tokenVolumeName}@${tokenPath}`,
      `b: ${tokenVolumeName}@${tokenPath}`,
      tokenVolumeName,
    ]);
    expect(guardToken(given, undefined)).to.equal(given);
  });

  it('does so too where nothing is injected yet, or ever', () => {
    const given = pod([container('a'), container('b')], [], { automountServiceAccountToken: false });
    expect(said(guardToken(given, ['a']))).to.deep.equal([`a: ${tokenVolumeName}@${tokenPath}`, tokenVolumeName]);
    expect(guardToken(given, [])).to.deep.equal(given);
  });

  it('leaves what is mounted by hand, and does not mount over it', () => {
    const given = pod(
      [
        container('a', at(mine)),
        container('b', at(legacy, `${tokenPath}/`)),
        container('c', at(injected, '/elsewhere'), at(injected)),
        container('d', at(mine, '/mine')),
      ],
      [mine, legacy, injected],
    );
    expect(said(guardToken(given, ['a', 'b', 'd']))).to.deep.equal([
      `a: mine@${tokenPath}`,
      `b: default-token-abcde@${tokenPath}/`,
      'c: kube-api-access-x7k2p@/elsewhere',
      'd: mine@/mine',
      `d: ${tokenVolumeName}@${tokenPath}`,
      'mine',
      'default-token-abcde',
      'kube-api-access-x7k2p',
      tokenVolumeName,
    ]);
  });

  it('gives what the plugin gives: short-lived, for the API server, with its CA and the namespace', () => {
    const [volume] = specOf(guardToken(pod([container('a')]), ['a'])).volumes ?? [];
    const sources = volume?.projected?.sources ?? [];
    expect(sources[0]?.serviceAccountToken).to.deep.equal({ expirationSeconds: 3607, path: 'token' });
    expect(sources.flatMap(({ configMap }) => configMap?.name ?? [])).to.deep.equal(['kube-root-ca.crt']);
    expect(sources[2]?.downwardAPI?.items?.[0]?.path).to.equal('namespace');
  });

  it('guards a guarded Pod as it guards the Pod itself, whoever is to keep the token now', () => {
    const names = ['a', 'b', 'setup'];
    const some = fc.subarray(names);
    const given = fc.record({ has: some, elsewhere: some, own: some }).map(({ has, elsewhere, own }) => {
      const one = (name: string): IContainer => ({
        ...container(
          name,
          ...(has.includes(name) && !own.includes(name) ? [at(injected)] : []),
          ...(elsewhere.includes(name) ? [at(injected, '/elsewhere')] : []),
          ...(own.includes(name) ? [at(mine)] : []),
        ),
        // After volumeMounts.
        resources: {},
      });
      return pod([one('a'), one('b')], [injected, mine], { initContainers: [one('setup')] });
    });
    fc.assert(
      fc.property(given, some, some, (whole, before, after) => {
        expect(guardToken(guardToken(whole, before), after)).to.deep.equal(guardToken(whole, after));
        // As text too: what is removed from the Pod stands in an annotation.
        const text = (given: IPod): string => JSON.stringify(specOf(given).containers);
        expect(text(guardToken(guardToken(whole, after), after))).to.equal(text(guardToken(whole, after)));
        expect(said(withoutOwnToken(guardToken(whole, before))).join()).not.to.contain(tokenVolumeName);
        const mounting = said(guardToken(whole, after)).filter((line) => line.includes(`${tokenVolumeName}@`));
        expect(mounting.every((line) => after.some((name) => line.startsWith(`${name}:`)))).to.equal(true);
      }),
    );
  });

  it('does not take a volume of that name for its own, unless it is', () => {
    const forged: IVolume = { ...mine, name: tokenVolumeName };
    const given = pod([container('a', at(forged))], [forged]);
    expect(withoutOwnToken(given)).to.equal(given);
  });
});

describe('what is said of the token', () => {
  const guarded = (...token: string[]) => ({ guards: ['token'] as const, token });
  const codes = (given: IPod, intent: Parameters<typeof tokenReasons>[1]) =>
    tokenReasons(given, intent, 'a').map(({ code, piece }) => `${piece} ${code}`);

  it('says who is likely to miss it, by honest signs', () => {
    const signs: readonly Partial<IContainer>[] = [
      { env: [{ name: 'MASTER', value: 'https://kubernetes.default.svc:443' }] },
      { env: [{ name: 'KUBERNETES_SERVICE_HOST', value: '10.0.0.1' }] },
      { args: ['--in-cluster'] },
      { args: ['--in-cluster=true'] },
      { command: ['sh', '-c', 'cat /var/run/secrets/kubernetes.io/serviceaccount/token'] },
      { command: ['kubectl'], args: ['get', 'pods'] },
      { command: ['sh', '-c', 'while true; do /usr/bin/kubectl get pods; done'] },
    ];
    for (const sign of signs) {
      const given = pod([{ ...container('a'), ...sign }, container('b')]);
      expect(codes(given, guarded()), JSON.stringify(sign)).to.deep.equal(['a TokenGuarded', 'a AsksForToken']);
      expect(codes(given, guarded('a')), JSON.stringify(sign)).to.deep.equal(['a TokenGuarded']);
      const own = pod([{ ...container('a', at(mine)), ...sign }], [mine]);
      expect(codes(own, guarded()), JSON.stringify(sign)).to.deep.equal(['a TokenGuarded']);
    }
  });

  it('says nothing of those that show no sign', () => {
    for (const other of [
      { env: [{ name: 'KUBECONFIG', value: '/etc/kubeconfig' }] },
      { args: ['--cluster-domain=cluster.local', 'my-kubectl-plugin'] },
      { env: [{ name: 'HOST', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } }] },
    ] as Partial<IContainer>[]) {
      expect(codes(pod([{ ...container('a'), ...other }]), guarded())).to.deep.equal(['a TokenGuarded']);
    }
  });

  it('says where naming a container does nothing', () => {
    const open = { guards: [], token: ['a'] };
    expect(tokenKeepers(open)).to.equal(undefined);
    expect(codes(pod([container('a')]), open)).to.deep.equal(['a TokenNotGuarded']);
    expect(codes(pod([container('a')]), { guards: [], token: [] })).to.deep.equal([]);
  });
});
