import { expect } from 'chai';
import { DenialLedger } from './denial-ledger.ts';
import type { Attempt } from './denials.ts';

function attempt(port: number, packets: number, expiresIn = 3600): Attempt {
  return { interfaceName: 'net1', from: '198.18.0.3', to: '198.18.0.2', protocol: 'tcp', port, packets, expiresIn };
}

describe('the ledger of what a sandbox was denied', () => {
  let ledger: DenialLedger;
  const rows = () => ledger.list().map((row) => [row.attempt.port, row.packets, row.lastSeen / 1000]);

  beforeEach(() => {
    ledger = new DenialLedger();
  });

  it('knows when the last packet came, also before anybody looked', () => {
    ledger.take([attempt(80, 5, 3000)], 10_000_000);
    expect(rows()).to.deep.equal([[80, 5, 9_400]]);
    ledger.take([attempt(80, 5, 2985)], 10_015_000);
    expect(rows()).to.deep.equal([[80, 5, 9_400]]);
    ledger.take([attempt(80, 6, 3598)], 10_030_000);
    expect(rows()).to.deep.equal([[80, 6, 10_028]]);
  });

  it('adds up what tables counted that were emptied or loaded anew', () => {
    ledger.take([attempt(80, 5)], 1000);
    ledger.take([attempt(80, 2)], 2000);
    expect(rows()).to.deep.equal([[80, 7, 2]]);
    ledger.emptied();
    ledger.take([], 3000);
    expect(rows()).to.deep.equal([[80, 7, 2]]);
    ledger.take([attempt(80, 9)], 4000);
    expect(rows()).to.deep.equal([[80, 16, 4]]);
  });

  it('forgets after an hour, and what is too much', () => {
    ledger.take([attempt(80, 5)], 1_000);
    ledger.take([], 3_601_000);
    expect(rows()).to.have.length(1);
    ledger.take([], 3_602_000);
    expect(rows()).to.have.length(0);
    ledger.take(
      Array.from({ length: 2000 }, (_, port) => attempt(port, 1)),
      4_000_000,
    );
    ledger.take([attempt(8000, 1)], 5_000_000);
    expect(rows()).to.have.length(512);
    expect(rows()[0]).to.deep.equal([8000, 1, 5000]);
  });

  it('forgets a call to the own loopback with the kernel, since the port has answered, unless the agent emptied the set', () => {
    const early = { ...attempt(9000, 2), interfaceName: 'lo', from: '127.0.0.1', to: '127.0.0.1' };
    ledger.take([early, attempt(80, 1)], 1000);
    expect(rows().map(([port]) => port)).to.have.members([9000, 80]);
    ledger.take([], 2000);
    expect(rows()).to.deep.equal([[80, 1, 1]]);

    ledger.take([early], 3000);
    ledger.emptied();
    ledger.take([], 4000);
    expect(rows()).to.deep.include([9000, 2, 3]);
    ledger.take([{ ...early, packets: 1 }], 5000);
    expect(rows()).to.deep.include([9000, 3, 5]);
    ledger.take([], 6000);
    expect(rows()).to.deep.equal([[80, 1, 1]]);
  });

  it('has one order, whatever the kernel lists first', () => {
    const some = [attempt(3, 1), attempt(1, 1), attempt(2, 7)];
    ledger.take(some, 1000);
    const first = rows();
    ledger = new DenialLedger();
    ledger.take(some.toReversed(), 1000);
    expect(rows()).to.deep.equal(first);
  });
});
