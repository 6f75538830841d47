import { expect } from 'chai';
import { setTimeout as pause } from 'node:timers/promises';
import { ClockSteps, systemClock } from './clock.ts';
import { FakeClock } from './fake-clock.ts';

const hour = 3_600_000;

describe('systemClock', () => {
  it('does not call back at once what is further away than Node can tell', async () => {
    let called = false;
    const cancel = systemClock.after(1000 * hour, () => {
      called = true;
    });
    await pause(20);
    cancel();
    expect(called).to.equal(false);
  });
});

describe('ClockSteps', () => {
  it('tells once how far the clock was set, and nothing of time that passes', async () => {
    const clock = new FakeClock();
    const steps = new ClockSteps(clock);
    await clock.advance(2 * hour);
    expect(steps.taken()).to.equal(0);
    clock.jump(-hour);
    await clock.advance(1000);
    expect(steps.taken()).to.equal(-hour);
    expect(steps.taken()).to.equal(0);
    clock.jump(2 * hour);
    expect(steps.taken()).to.equal(2 * hour);
  });

  it('adds up small corrections until they matter', () => {
    const clock = new FakeClock();
    const steps = new ClockSteps(clock);
    clock.jump(600);
    expect(steps.taken()).to.equal(0);
    clock.jump(600);
    expect(steps.taken()).to.equal(1200);
  });
});
