import { expect } from 'chai';
import { splitId } from '../api/identity.ts';
import type { KubeClient } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import { formatIsolateWiring, type IsolateWiring } from '../rules/isolate-wiring.ts';
import { AgentError } from './agent-error.ts';
import { verifyIsolated } from './verify-isolated.ts';

const uid = '7d5c1c2e-0f4b-4d55-9d5e-0a1b2c3d4e5f';
const network = 'podsplit-web-0123456789ab-isolate';
const input = { pod: { namespace: 'shop', name: 'web', uid }, network, node: 'node1' };

const wiring: IsolateWiring = {
  version: 1,
  mode: 'isolate',
  split: splitId(uid),
  containers: [
    { name: 'web', uid: 1001, ports: [{ port: 8080, protocol: 'tcp' }], probes: [] },
    { name: 'cache', uid: 1002, ports: [], probes: [] },
  ],
  flows: [{ from: 'cache', to: 'web', port: 8080, protocol: 'tcp' }],
};

function container(name: string, runAsUser: number | undefined, ports: readonly number[] = []) {
  return {
    name,
    image: name,
    ports: ports.map((containerPort) => ({ containerPort })),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      ...(runAsUser === undefined ? {} : { runAsUser }),
    },
  };
}

const containers = [container('web', 1001, [8080]), container('cache', 1002)];

interface Changes {
  readonly labels?: object;
  readonly annotations?: object;
  readonly spec?: object;
  readonly uid?: string;
}

function verify({ labels, annotations, spec, uid: actual = uid }: Changes = {}) {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: actual,
      labels: { 'podsplit.io/role': 'isolated', 'podsplit.io/split': splitId(uid), ...labels },
      annotations: {
        'podsplit.io/mode': 'isolate',
        'podsplit.io/wiring': formatIsolateWiring(wiring),
        'k8s.v1.cni.cncf.io/networks': JSON.stringify([{ name: network }]),
        ...annotations,
      },
    },
    spec: { nodeName: 'node1', containers, ...spec },
  };
  return verifyIsolated(input, { get: () => Promise.resolve(pod) } as unknown as KubeClient);
}

async function codeOf(verifying: Promise<unknown>): Promise<string> {
  try {
    await verifying;
    return 'verified';
  } catch (error) {
    if (error instanceof AgentError) return error.code;
    throw error;
  }
}

describe('the verification of an isolated Pod', () => {
  it('takes the Pod that the controller wired', async () => {
    expect((await verify()).wiring).to.deep.equal(wiring);
  });

  const foreign = { ...wiring, split: 'abcdef0123' };
  const swapped = {
    ...wiring,
    containers: wiring.containers.map((each) => ({ ...each, uid: each.uid === 1001 ? 1002 : 1001 })),
  };
  const cases: readonly (readonly [string, Changes, string])[] = [
    ['another Pod of the name', { uid: 'other' }, 'PodNotFound'],
    ['a Pod that is not isolated', { labels: { 'podsplit.io/role': 'primary' } }, 'NotAPiece'],
    ['a Pod of another node', { spec: { nodeName: 'node2' } }, 'WrongNode'],
    ['other networks', { annotations: { 'k8s.v1.cni.cncf.io/networks': '[]' } }, 'WrongNetwork'],
    [
      'a network beside ours',
      { annotations: { 'k8s.v1.cni.cncf.io/networks': JSON.stringify([{ name: network }, { name: 'storage' }]) } },
      'WrongNetwork',
    ],
    ['no wiring', { annotations: { 'podsplit.io/wiring': undefined } }, 'NotAPiece'],
    ['what is no wiring', { annotations: { 'podsplit.io/wiring': '{}' } }, 'NotAPiece'],
    ['the wiring of another Pod', { annotations: { 'podsplit.io/wiring': formatIsolateWiring(foreign) } }, 'NotAPiece'],
    ['UIDs of others', { annotations: { 'podsplit.io/wiring': formatIsolateWiring(swapped) } }, 'NotAPiece'],
    [
      'a user that is not that of the wiring',
      { spec: { containers: [containers[0], container('cache', 1003)] } },
      'NotAPiece',
    ],
    [
      'a container that the wiring has not',
      { spec: { containers: [...containers, container('more', 1003)] } },
      'NotAPiece',
    ],
    [
      'what admission would have refused',
      { spec: { containers: [containers[0], { ...containers[1], securityContext: { runAsUser: 1002 } }] } },
      'NotAPiece',
    ],
    [
      'users that nobody assigned',
      {
        annotations: { 'podsplit.io/assign-users': 'true' },
        spec: { containers: [containers[0], container('cache', undefined)] },
      },
      'NotAPiece',
    ],
  ];
  for (const [what, changes, code] of cases) {
    it(`refuses ${what}`, async () => {
      expect(await codeOf(verify(changes))).to.equal(code);
    });
  }

  it('says that it could not ask', async () => {
    const down = { code: 'Unreachable', message: 'down', path: 'GET /', status: 0, maybeHappened: false } as const;
    const get = () => Promise.reject(new ApiError(down));
    const verifying = verifyIsolated(input, { get } as unknown as KubeClient);
    expect(await codeOf(verifying)).to.equal('ApiUnavailable');
  });
});
