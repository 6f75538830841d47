/** What a benchmark says: a figure with its unit, and for comparisons the ratio to what it is held against. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly against?: string;
  readonly ratio?: number;
  readonly goal?: string;
}

/** Interpolation is not worth it: the value at the rank. `p` from 0 to 1. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function printFigures(figures: readonly Figure[]): void {
  const rows = figures.map(({ name, value, against, ratio, goal }) => [
    name,
    value,
    against ?? '',
    ratio?.toFixed(2) ?? '',
    goal ?? '',
  ]);
  const head = ['figure', 'value', 'against', 'ratio', 'goal'];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of [head, ...rows]) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}
