import { expect } from 'chai';
import { FakeClock } from './fake-clock.ts';
import { ServerClock } from './server-clock.ts';

const hour = 3_600_000;
const start = Date.parse('2026-01-01T00:00:00Z');

describe('ServerClock', () => {
  let local: FakeClock;
  let clock: ServerClock;

  beforeEach(() => {
    local = new FakeClock(start);
    clock = new ServerClock(local);
  });

  function answer(epochMs: number): void {
    clock.hear(new Date(epochMs).toUTCString());
  }

  it('is the own clock before the API server has said anything', () => {
    expect(clock.now()).to.equal(start);
    clock.hear('yesterday');
    expect(clock.now()).to.equal(start);
  });

  it('is the own clock where the two agree: answers know whole seconds only', async () => {
    answer(start);
    await local.advance(300);
    expect(clock.now()).to.equal(start + 300);
  });

  for (const byMs of [hour, -hour]) {
    it(`tells the API server's time while the own clock is ${byMs > 0 ? 'ahead' : 'behind'}`, async () => {
      answer(start);
      local.jump(byMs);
      expect(clock.now()).to.equal(start);
      await local.advance(10_000);
      expect(clock.now()).to.equal(start + 10_000);
      expect(clock.monotonic()).to.equal(10_000);
      answer(start + 10_000);
      local.jump(-byMs);
      await local.advance(700);
      expect(clock.now()).to.equal(start + 10_700);
    });

    it(`follows the API server's clock when that is set ${byMs > 0 ? 'forward' : 'back'}`, () => {
      answer(start);
      answer(start + byMs);
      expect(clock.now()).to.equal(start + byMs);
    });
  }
});
