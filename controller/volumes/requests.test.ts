import { expect } from 'chai';
import { parsePublish, parseUnpublish } from './requests.ts';
import { VolumeError, type VolumeErrorCode } from './volume-error.ts';

const pods = '/var/lib/kubelet/pods';
const path = `${pods}/uid-1/volumes/kubernetes.io~csi/logs/mount`;
const said = {
  'csi.storage.k8s.io/ephemeral': 'true',
  'csi.storage.k8s.io/pod.namespace': 'shop',
  'csi.storage.k8s.io/pod.name': 'web',
  'csi.storage.k8s.io/pod.uid': 'uid-1',
  volume: 'logs',
};

function refusal(work: () => unknown): VolumeErrorCode | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof VolumeError) return error.code;
    throw error;
  }
}

describe('parsePublish', () => {
  it('reads what the kubelet sends', () => {
    expect(parsePublish({ volume_id: 'csi-1', target_path: path, volume_context: said }, pods)).to.deep.equal({
      target: { path, podUid: 'uid-1', volume: 'logs' },
      pod: { namespace: 'shop', name: 'web', uid: 'uid-1' },
      volume: 'logs',
    });
  });

  for (const key of Object.keys(said)) {
    it(`wants ${key}`, () => {
      const context = Object.fromEntries(Object.entries(said).filter(([one]) => one !== key));
      expect(refusal(() => parsePublish({ target_path: path, volume_context: context }, pods))).to.equal('BadRequest');
    });
  }

  const wrong: readonly (readonly [string, object, VolumeErrorCode])[] = [
    ['a persistent volume', { volume_context: { ...said, 'csi.storage.k8s.io/ephemeral': 'false' } }, 'BadRequest'],
    ["another Pod's folder", { target_path: path.replace('uid-1', 'uid-2') }, 'WrongTarget'],
    ['an attribute that names another volume', { volume_context: { ...said, volume: 'other' } }, 'WrongTarget'],
    ['a path that leads out', { target_path: `${pods}/uid-1/volumes/kubernetes.io~csi/../logs/mount` }, 'WrongTarget'],
    ['a place outside of the Pods', { target_path: '/etc/cron.d/mount' }, 'WrongTarget'],
    ['a place deeper in the Pod', { target_path: `${path}/x` }, 'WrongTarget'],
    ["another plugin's place", { target_path: path.replace('~csi', '~empty-dir') }, 'WrongTarget'],
    ['no place', { target_path: '' }, 'BadRequest'],
    ['a volume name that is a path', { target_path: path.replace('logs', '..') }, 'WrongTarget'],
  ];
  for (const [what, change, code] of wrong) {
    it(`refuses ${what}`, () => {
      const request = { volume_id: 'csi-1', target_path: path, volume_context: said, ...change };
      expect(refusal(() => parsePublish(request, pods))).to.equal(code);
    });
  }

  it('refuses what is no message', () => {
    expect(refusal(() => parsePublish(undefined, pods))).to.equal('BadRequest');
  });
});

describe('parseUnpublish', () => {
  it('reads the place', () => {
    expect(parseUnpublish({ volume_id: 'csi-1', target_path: path }, pods)).to.deep.equal({
      path,
      podUid: 'uid-1',
      volume: 'logs',
    });
  });

  it('unmounts nothing else', () => {
    for (const target_path of ['/', '/var/lib/kubelet', `${pods}/uid-1`, `${path}/..`, 7]) {
      expect(
        refusal(() => parseUnpublish({ target_path }, pods)),
        String(target_path),
      ).to.be.oneOf(['WrongTarget', 'BadRequest']);
    }
  });
});
