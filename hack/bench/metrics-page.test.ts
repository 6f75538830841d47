import { expect } from 'chai';
import { Histogram, Counter, Registry } from 'prom-client';
import { MetricsPage } from './metrics-page.ts';

describe('MetricsPage', () => {
  const registry = new Registry();
  const registers = [registry];
  const waits = new Histogram({ name: 'waits', help: 'w', labelNames: ['who'], buckets: [0.01, 0.1, 1], registers });
  const failures = new Counter({ name: 'failures', help: 'f', labelNames: ['what'], registers });
  let earlier: MetricsPage;

  before(async () => {
    for (let index = 0; index < 100; index++) waits.observe({ who: 'a' }, 5);
    failures.inc({ what: 'x' });
    earlier = new MetricsPage(await registry.metrics());
    for (let index = 0; index < 98; index++) waits.observe({ who: 'a' }, 0.005);
    waits.observe({ who: 'a' }, 0.5);
    waits.observe({ who: 'a' }, 0.6);
    waits.observe({ who: 'b' }, 7);
    failures.inc({ what: 'x' }, 2);
    failures.inc({ what: 'y' });
  });

  it('sums series by their labels', async () => {
    const page = new MetricsPage(await registry.metrics());
    expect(page.sum('failures')).to.equal(4);
    expect(page.sum('failures', 'what="x"')).to.equal(3);
    expect(page.sum('fail')).to.equal(0);
  });

  it('has quantiles of what came in between, as far as the buckets tell', async () => {
    const page = new MetricsPage(await registry.metrics());
    expect(page.quantile(0.98, 'waits', ['who="a"'], earlier)).to.equal(0.01);
    expect(page.quantile(0.99, 'waits', ['who="a"'], earlier)).to.equal(1);
    expect(page.quantile(0.5, 'waits', ['who="b"'], earlier)).to.equal(Infinity);
    expect(page.quantile(0.5, 'waits', ['who="c"'], earlier)).to.be.NaN;
  });
});
