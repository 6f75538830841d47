/** A metrics page of Prometheus, read for a few figures. */
export class MetricsPage {
  private readonly samples: readonly { readonly series: string; readonly value: number }[];

  constructor(text: string) {
    this.samples = text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const at = line.lastIndexOf(' ');
        return { series: line.slice(0, at), value: Number(line.slice(at + 1)) };
      });
  }

  /** Of all series of that name whose labels include these. */
  sum(name: string, ...labels: readonly string[]): number {
    return this.matching(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  /**
   * The upper bound of the bucket that has the quantile `q` of what was observed since `before`: a histogram knows no more.
   * Infinity where it lies beyond the last bound, NaN where nothing was observed.
   */
  quantile(q: number, name: string, labels: readonly string[], before: MetricsPage): number {
    const earlier = new Map(before.matching(`${name}_bucket`, labels).map(({ series, value }) => [series, value]));
    const buckets = this.matching(`${name}_bucket`, labels)
      .map(({ series, value }) => ({
        bound: boundOf(series),
        count: value - (earlier.get(series) ?? 0),
      }))
      .toSorted((one, other) => one.bound - other.bound);
    const total = buckets.at(-1)?.count ?? 0;
    if (total === 0) return Number.NaN;
    return buckets.find(({ count }) => count >= q * total)?.bound ?? Number.POSITIVE_INFINITY;
  }

  private matching(name: string, labels: readonly string[]) {
    return this.samples.filter(
      ({ series }) =>
        (series === name || series.startsWith(`${name}{`)) && labels.every((label) => series.includes(label)),
    );
  }
}

function boundOf(series: string): number {
  const bound = /le="([^"]+)"/.exec(series)?.[1];
  return bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
}
