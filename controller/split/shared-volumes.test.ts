import { expect } from 'chai';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Piece } from './plan.ts';
import { emptyDirOf, pieceVolume, standsFor, storageLimitOf } from './shared-volumes.ts';

function piece(name: string, memory?: string, initContainers: readonly IContainer[] = []): Piece {
  return {
    name,
    container: { name, ...(memory === undefined ? {} : { resources: { limits: { memory } } }) },
    volumes: [],
    resourceClaims: [],
    annotations: {},
    initContainers,
    ports: [],
  };
}

const unlimited = { primary: piece('app'), siblings: [piece('shipper')], startOrder: [] as string[] };
const memory = (sizeLimit?: string) => ({
  name: 'v',
  emptyDir: { medium: 'Memory', ...(sizeLimit === undefined ? {} : { sizeLimit }) },
});

describe('emptyDirOf', () => {
  it('reads one on disk', () => {
    expect(emptyDirOf({ name: 'v' }, unlimited)).to.deep.equal({ medium: 'disk' });
    expect(emptyDirOf({ name: 'v', emptyDir: { sizeLimit: '1Mi' } }, unlimited)).to.deep.equal({
      medium: 'disk',
      sizeLimit: '1Mi',
      bytes: 2 ** 20,
    });
  });

  it('takes a limit of 0 for none, as the kubelet does', () => {
    expect(emptyDirOf({ name: 'v', emptyDir: { sizeLimit: '0' } }, unlimited)).to.deep.equal({ medium: 'disk' });
  });

  it('does not hold one on disk by memory', () => {
    const limited = { primary: piece('app', '1Mi'), siblings: [], startOrder: [] };
    expect(emptyDirOf({ name: 'v', emptyDir: {} }, limited)).to.deep.equal({ medium: 'disk' });
  });

  it("sizes one in memory by the whole Pod's limits, as in one Pod", () => {
    const bytesOf = (pieces: typeof unlimited, sizeLimit?: string) => emptyDirOf(memory(sizeLimit), pieces)?.bytes;
    const init: IContainer = { name: 'init', resources: { limits: { memory: '1Gi' } } };
    expect(bytesOf(unlimited)).to.equal(undefined);
    expect(bytesOf(unlimited, '8Mi')).to.equal(8 * 2 ** 20);
    const limited = { primary: piece('app', '6Mi'), siblings: [piece('shipper', '2Mi')], startOrder: [] };
    expect(bytesOf(limited)).to.equal(8 * 2 ** 20);
    expect(bytesOf(limited, '3Mi')).to.equal(3 * 2 ** 20);
    expect(bytesOf(limited, '30Mi')).to.equal(8 * 2 ** 20);
    const withInit = { ...limited, primary: piece('app', '6Mi', [init]) };
    expect(bytesOf({ ...withInit, startOrder: ['init'] })).to.equal(2 ** 30);
    // A native sidecar runs beside the init containers that come after it.
    expect(bytesOf({ ...withInit, startOrder: ['init', 'shipper'] })).to.equal(2 ** 30);
    expect(bytesOf({ ...withInit, startOrder: ['shipper', 'init'] })).to.equal(2 ** 30 + 2 * 2 ** 20);
  });

  it('has nothing for huge pages', () => {
    expect(emptyDirOf({ name: 'v', emptyDir: { medium: 'HugePages-2Mi' } }, unlimited)).to.equal(undefined);
  });
});

describe('storageLimitOf', () => {
  const limited = (name: string, storage: string, initContainers: readonly IContainer[] = []): Piece => ({
    ...piece(name, undefined, initContainers),
    container: { name, resources: { limits: { 'ephemeral-storage': storage } } },
  });

  it('is none where no container has one', () => {
    expect(storageLimitOf(unlimited)).to.equal(undefined);
  });

  it("is the sum of the containers', or the largest init container's", () => {
    const siblings = [limited('shipper', '512Mi'), piece('viewer')];
    const pieces = { primary: limited('app', '1Gi'), siblings, startOrder: ['init'] };
    expect(storageLimitOf(pieces)).to.deep.equal({ text: '1536Mi', bytes: 1.5 * 2 ** 30 });
    const init: IContainer = { name: 'init', resources: { limits: { 'ephemeral-storage': '2Gi' } } };
    expect(storageLimitOf({ ...pieces, primary: limited('app', '1Gi', [init]) })?.text).to.equal('2Gi');
  });
});

describe('standsFor', () => {
  const original = { name: 'v', emptyDir: {} };
  const standIn = pieceVolume(original, { sharedVolumes: ['v'] });

  it('knows what pieceVolume made, and nothing that says more', () => {
    expect(standsFor(standIn, original)).to.equal(true);
    expect(standsFor(standIn, { name: 'w', emptyDir: {} })).to.equal(false);
    expect(standsFor(standIn, { name: 'v', configMap: { name: 'c' } })).to.equal(false);
    const attributes = { ...standIn.csi?.volumeAttributes, pod: 'other' };
    expect(
      standsFor({ ...standIn, csi: { driver: '', ...standIn.csi, volumeAttributes: attributes } }, original),
    ).to.equal(false);
  });
});
