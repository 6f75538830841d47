import { expect } from 'chai';
import { FakeClock } from '../kube/fake-clock.ts';
import { ClusterDns } from './cluster-dns.ts';

const kept = [{ dns: 'cluster' as const }];

describe("the cluster's DNS", () => {
  let clock: FakeClock;
  let clusterIPs: readonly string[];
  let asked: number;
  let dns: ClusterDns;

  beforeEach(() => {
    clock = new FakeClock();
    clusterIPs = [];
    asked = 0;
    const list = () => {
      asked++;
      return Promise.resolve({ items: [{ metadata: { name: 'kube-dns' }, spec: { clusterIPs } }] });
    };
    dns = new ClusterDns({ client: { list } as never, clock, addresses: undefined });
  });

  it('is not asked for where no piece needs it, and once in a while where one does', async () => {
    expect(await dns.resolversOf([])).to.deep.equal([]);
    expect(asked).to.equal(0);
    clusterIPs = ['10.96.0.10'];
    for (let i = 0; i < 3; i++) expect(await dns.resolversOf(kept)).to.deep.equal(['10.96.0.10']);
    expect(asked).to.equal(1);
    await clock.advance(30_000);
    await dns.resolversOf(kept);
    expect(asked).to.equal(2);
  });

  it('is found half a minute after it is there, whatever the clock is set to meanwhile', async () => {
    expect(await dns.resolversOf(kept)).to.equal(undefined);
    clusterIPs = ['10.96.0.10'];
    clock.jump(-3_600_000);
    await clock.advance(30_000);
    expect(await dns.resolversOf(kept)).to.deep.equal(['10.96.0.10']);
  });
});
