import { expect } from 'chai';
import type { Registry } from 'prom-client';
import { createAgentMetrics } from '../controller/agent/agent-metrics.ts';
import { createMetrics } from '../controller/observability/metrics.ts';
import { dashboard, dashboardIsOutdated, dashboardQueries } from './dashboard.ts';

interface Exported {
  readonly labels: readonly string[];
  readonly histogram: boolean;
}

/** What stands in an expression and is no name of a metric or label: PromQL, and Grafana's interval. */
const language = new Set(
  'sum min by on and rate increase topk histogram_quantile time le instance __rate_interval'.split(' '),
);

function exportedBy(registry: Registry): readonly (readonly [string, Exported])[] {
  return registry.getMetricsAsArray().map((metric) => {
    const labels = 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames.map(String) : [];
    return [metric.name, { labels, histogram: metric.constructor.name === 'Histogram' }];
  });
}

const exported = new Map([createMetrics(), createAgentMetrics()].flatMap(({ registry }) => exportedBy(registry)));

/** The metric of a series: histograms are exported as buckets, a sum and a count. */
function metricOf(series: string): Exported | undefined {
  const histogram = exported.get(series.replace(/_(bucket|count|sum)$/, ''));
  if (histogram?.histogram === true)
    return series === series.replace(/_(bucket|count|sum)$/, '') ? undefined : histogram;
  return exported.get(series);
}

describe('dashboard', () => {
  it('is written to where chart, kustomize and CLI read it', () => {
    expect(dashboardIsOutdated()).to.equal(false);
  });

  for (const query of dashboardQueries) {
    it(`asks for what is exported: ${query}`, () => {
      const names = query.replaceAll(/"[^"]*"/g, '').match(/[a-zA-Z_][a-zA-Z0-9_]*/g) ?? [];
      const own = names.filter((name) => !language.has(name) && !/^[smhd]$/.test(name));
      const series = own.filter((name) => /^(podsplit|process|nodejs)_/.test(name));
      expect(series, 'a metric').not.to.deep.equal([]);
      for (const name of series) expect(metricOf(name), name).not.to.equal(undefined);
      const labels = series.flatMap((name) => metricOf(name)?.labels ?? []);
      for (const name of own.filter((each) => !series.includes(each))) expect(labels, name).to.include(name);
    });
  }

  it('shows every metric of podsplit, but for those that explain another one', () => {
    const shown = dashboardQueries.join('\n');
    const unseen = [...exported.keys()].filter((name) => name.startsWith('podsplit_') && !shown.includes(name));
    expect(unseen).to.have.members([
      'podsplit_queue_retries_total',
      'podsplit_watch_objects',
      'podsplit_watch_events_total',
      'podsplit_webhook_certificate_actions_total',
    ]);
  });

  it('lays its panels side by side, and none on another', () => {
    const { panels } = dashboard() as {
      readonly panels: readonly {
        readonly id: number;
        readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
      }[];
    };
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).to.be.at.most(24);
      return Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`);
    });
    expect(new Set(cells).size).to.equal(cells.length);
    expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
  });
});
