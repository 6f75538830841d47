const powers: ReadonlyMap<string, number> = new Map([
  ['n', 1e-9],
  ['u', 1e-6],
  ['m', 1e-3],
  ['', 1],
  ['k', 1e3],
  ['M', 1e6],
  ['G', 1e9],
  ['T', 1e12],
  ['P', 1e15],
  ['E', 1e18],
  ['Ki', 2 ** 10],
  ['Mi', 2 ** 20],
  ['Gi', 2 ** 30],
  ['Ti', 2 ** 40],
  ['Pi', 2 ** 50],
  ['Ei', 2 ** 60],
]);

const grammar = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/;

/**
 * A Kubernetes quantity as whole units, rounded up as `Quantity.Value()` does; undefined for what the API server does not
 * take (apimachinery, pkg/api/resource). Exact up to 2^53, which is 8 PiB.
 */
export function parseQuantity(text: string): number | undefined {
  const exact = exactQuantity(text);
  return exact === undefined ? undefined : Math.ceil(exact);
}

/** As it is, to be compared: 100m is 0.1. */
export function exactQuantity(text: string): number | undefined {
  const [, digits, exponent = '', suffix = ''] = grammar.exec(text) ?? [];
  const power = powers.get(suffix);
  if (digits === undefined || power === undefined) return undefined;
  const value = Number(`${digits}${exponent}`) * power;
  return Number.isFinite(value) ? value : undefined;
}

/** Bytes in the largest binary unit of which they are a whole number. */
export function formatBytes(bytes: number): string {
  for (const unit of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const count = bytes / (powers.get(unit) ?? Number.NaN);
    if (Number.isInteger(count) && count > 0) return `${count}${unit}`;
  }
  return String(bytes);
}
