import {
  credentials,
  makeGenericClientConstructor,
  status,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { AgentError } from '../agent/agent-error.ts';
import { csiServices } from './driver.ts';
import { serveOn, type GrpcServer } from './grpc-server.ts';
import { Registration } from './registration.ts';
import { services } from './services.ts';
import type { Target } from './requests.ts';
import { asVolumeError, VolumeError } from './volume-error.ts';
import type { SharedVolume } from './verify-volume.ts';

const log = pino({ level: 'silent' });
const podsFolder = '/var/lib/kubelet/pods';
const shared: SharedVolume = {
  name: 'logs',
  pod: { namespace: 'shop', name: 'web', uid: 'uid-1' },
  emptyDir: { medium: 'disk' },
  fsGroup: undefined,
  storageLimit: undefined,
};

type Call = (method: string, request: object) => Promise<Readonly<Record<string, unknown>>>;

/** As the kubelet calls: HTTP/2 on a unix socket. */
function clientOf(socket: string, definition: ServiceDefinition): { readonly call: Call; close(): void } {
  const Client = makeGenericClientConstructor(definition, 'test');
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  return {
    call: (method, request) =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = definition[method]!;
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) => {
          if (error === null) resolve(response as Readonly<Record<string, unknown>>);
          else reject(error);
        });
      }),
    close: () => {
      client.close();
    },
  };
}

async function failureOf(call: Promise<unknown>): Promise<Pick<ServiceError, 'code' | 'details'>> {
  try {
    await call;
  } catch (error) {
    const { code, details } = error as ServiceError;
    return { code, details };
  }
  throw new Error('it was answered');
}

describe('the volume driver on its socket', () => {
  let folder: string;
  let socket: string;
  let server: GrpcServer;
  let node: ReturnType<typeof clientOf>;
  let identity: ReturnType<typeof clientOf>;
  let verdict: () => Promise<SharedVolume>;
  const published: [SharedVolume, Target][] = [];
  const unpublished: Target[] = [];
  const asked: unknown[] = [];
  let told = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'podsplit-csi-'));
    socket = join(folder, 'plugin', 'csi.sock');
    const store = {
      publish: (volume: SharedVolume, target: Target) => {
        published.push([volume, target]);
        return Promise.resolve();
      },
      unpublish: (target: Target) => {
        unpublished.push(target);
        return Promise.resolve();
      },
    };
    const verify = (...call: unknown[]): Promise<SharedVolume> => {
      asked.push(call);
      return verdict();
    };
    server = await serveOn(
      socket,
      csiServices({ node: 'node1', podsFolder, store, verify, unpublished: () => told++ }),
      log,
    );
    node = clientOf(socket, services.node);
    identity = clientOf(socket, services.identity);
  });

  beforeEach(() => {
    verdict = () => Promise.resolve(shared);
    for (const list of [published, unpublished, asked]) list.length = 0;
  });

  after(async () => {
    node.close();
    identity.close();
    await server.close();
    expect(existsSync(socket)).to.equal(false);
    await rm(folder, { recursive: true });
  });

  const path = `${podsFolder}/uid-1/volumes/kubernetes.io~csi/logs/mount`;
  const publish = {
    volume_id: 'csi-1',
    target_path: path,
    volume_context: {
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.namespace': 'shop',
      'csi.storage.k8s.io/pod.name': 'web',
      'csi.storage.k8s.io/pod.uid': 'uid-1',
      volume: 'logs',
    },
  };

  it('opens to root alone', async () => {
    expect((await stat(socket)).mode & 0o777).to.equal(0o600);
  });

  it('says who it is, and that it can no more than mount', async () => {
    expect((await identity.call('GetPluginInfo', {}))['name']).to.equal('volumes.podsplit.io');
    expect(await identity.call('GetPluginCapabilities', {})).to.deep.equal({});
    expect(await identity.call('Probe', {})).to.deep.equal({});
    expect(await node.call('NodeGetInfo', {})).to.deep.equal({ node_id: 'node1' });
    expect(await node.call('NodeGetCapabilities', {})).to.deep.equal({});
  });

  it('publishes what it has verified, and nothing that the request says of it', async () => {
    await node.call('NodePublishVolume', publish);
    expect(asked).to.deep.equal([[{ namespace: 'shop', name: 'web', uid: 'uid-1' }, 'logs']]);
    expect(published).to.deep.equal([[shared, { path, podUid: 'uid-1', volume: 'logs' }]]);
  });

  it('unpublishes without asking anybody: the Pod may be gone', async () => {
    await node.call('NodeUnpublishVolume', { volume_id: 'csi-1', target_path: path });
    expect(unpublished).to.deep.equal([{ path, podUid: 'uid-1', volume: 'logs' }]);
    expect(asked).to.deep.equal([]);
    expect(told).to.equal(1);
  });

  const refusals: readonly (readonly [string, Error, status, string])[] = [
    [
      'a Pod that is no piece',
      asVolumeError(new AgentError('NotAPiece', 'no piece')),
      status.PERMISSION_DENIED,
      'no piece (NotAPiece) (NotVerified)',
    ],
    [
      'a volume that is not shared',
      new VolumeError('NotShared', 'no such'),
      status.PERMISSION_DENIED,
      'no such (NotShared)',
    ],
    [
      'a Pod that cannot be verified now',
      asVolumeError(new AgentError('ApiUnavailable', 'down')),
      status.UNAVAILABLE,
      'down (ApiUnavailable) (NotNow)',
    ],
    [
      'what podsplit did not foresee',
      new TypeError('a mistake'),
      status.INTERNAL,
      'the volume driver failed: a mistake',
    ],
  ];
  for (const [what, error, code, details] of refusals) {
    it(`mounts nothing for ${what}`, async () => {
      verdict = () => Promise.reject(error);
      expect(await failureOf(node.call('NodePublishVolume', publish))).to.deep.equal({ code, details });
      expect(published).to.deep.equal([]);
    });
  }

  it('mounts nothing outside of the Pod that asks, whatever the request says', async () => {
    const elsewhere = { ...publish, target_path: path.replace('uid-1', 'uid-2') };
    expect((await failureOf(node.call('NodePublishVolume', elsewhere))).code).to.equal(status.INVALID_ARGUMENT);
    expect(asked).to.deep.equal([]);
  });

  it('leaves the socket to the process that has taken its place, however late it ends', async () => {
    const taken = join(folder, 'taken', 'csi.sock');
    const driver = (name: string) =>
      serveOn(
        taken,
        [{ definition: services.identity, handlers: { GetPluginInfo: () => ({ name, vendor_version: '1' }) } }],
        log,
      );
    const who = async (): Promise<unknown> => {
      const kubelet = clientOf(taken, services.identity);
      const answer = await kubelet.call('GetPluginInfo', {}).finally(() => {
        kubelet.close();
      });
      return answer['name'];
    };
    const old = await driver('old');
    expect(await who()).to.equal('old');
    const next = await driver('next');
    expect(await who()).to.equal('next');
    await old.close();
    expect(await who()).to.equal('next');
    await next.close();
    expect(await readdir(join(folder, 'taken'))).to.deep.equal([]);
  });

  it('takes the place of a socket that an earlier process left', async () => {
    const stale = join(folder, 'stale.sock');
    await writeFile(stale, '');
    const registration = new Registration(socket, log);
    const registrar = await serveOn(stale, [registration.service], log);
    const kubelet = clientOf(stale, services.registration);
    expect(await kubelet.call('GetInfo', {})).to.deep.equal({
      type: 'CSIPlugin',
      name: 'volumes.podsplit.io',
      endpoint: socket,
      supported_versions: ['1.0.0'],
    });
    expect(registration.check.check()).to.contain('not asked');
    await kubelet.call('NotifyRegistrationStatus', { plugin_registered: false, error: 'too new' });
    expect(registration.check.check()).to.contain('too new');
    await kubelet.call('NotifyRegistrationStatus', { plugin_registered: true, error: '' });
    expect(registration.check.check()).to.equal(undefined);
    kubelet.close();
    await registrar.close();
  });
});
