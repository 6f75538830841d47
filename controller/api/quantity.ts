/** As exponents of ten: what is multiplied by 0.001 is not what is written with three decimal places. */
const decimalExponents: ReadonlyMap<string, number> = new Map([
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
]);

const binaryPowers: ReadonlyMap<string, number> = new Map([
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
  const [, digits, exponent, suffix = ''] = grammar.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const scale = exponent ?? `e${decimalExponents.get(suffix) ?? 0}`;
  const value = Number(`${digits}${scale}`) * (binaryPowers.get(suffix) ?? 1);
  return Number.isFinite(value) ? value : undefined;
}

/** Bytes in the largest binary unit of which they are a whole number. */
export function formatBytes(bytes: number): string {
  for (const unit of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const count = bytes / (binaryPowers.get(unit) ?? Number.NaN);
    if (Number.isInteger(count) && count > 0) return `${count}${unit}`;
  }
  return String(bytes);
}
