import { expect } from 'chai';
import { mountPointsIn, tmpfsOptions } from './mounter.ts';

describe('mountPointsIn', () => {
  it("reads the kernel's table, with its escapes", () => {
    const table = [
      '22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw',
      '90 22 254:1 /var/lib/podsplit/volumes/u/logs/data /pods/with\\040space/mount rw shared:7 - ext4 /dev/vda1 rw',
      '91 22 0:55 / /back\\134slash rw - tmpfs tmpfs rw,size=8192k',
      '',
    ].join('\n');
    expect([...mountPointsIn(table)]).to.deep.equal(['/', '/pods/with space/mount', '/back\\slash']);
  });
});

describe('tmpfsOptions', () => {
  it("are an emptyDir's", () => {
    expect(tmpfsOptions({ bytes: undefined, gid: undefined })).to.deep.equal(['size=100%', 'mode=1777']);
    expect(tmpfsOptions({ bytes: 4096, gid: 2000 })).to.deep.equal(['size=4096', 'mode=3777', 'gid=2000']);
  });
});
