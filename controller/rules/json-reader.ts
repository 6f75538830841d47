import { canonicalAddress, canonicalCidr, familyOf, numberOf } from './addresses.ts';

export interface Problem {
  /** As in JSONPath: `$.peers[0].mac`. */
  readonly path: string;
  readonly message: string;
}

type Report = (path: string, message: string) => void;

export const unread = Symbol('unread');

/** Gives the value, or reports why not and gives `unread`: all that is wrong is found in one pass. */
export type Reader<T> = (value: unknown, path: string, report: Report) => T | typeof unread;

interface OptionalReader<T> extends Reader<T> {
  readonly optional: true;
}

type Fields = Readonly<Record<string, Reader<unknown>>>;
type Read<R> = R extends Reader<infer T> ? T : never;
type OptionalKeys<F extends Fields> = { [K in keyof F]: F[K] extends OptionalReader<unknown> ? K : never }[keyof F];
type Obj<F extends Fields> = { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Read<F[K]> } & {
  readonly [K in OptionalKeys<F>]?: Read<F[K]>;
};

/** An absent field; `null` is not absent. */
export function optional<T>(reader: Reader<T>): OptionalReader<T> {
  return Object.assign<Reader<T>, { optional: true }>((value, path, report) => reader(value, path, report), {
    optional: true,
  });
}

/** Exactly these fields. */
export function object<F extends Fields>(fields: F): Reader<Obj<F>> {
  const known = someOf(fields);
  return (value, path, report) => {
    for (const key of isRecord(value) ? Object.keys(value) : []) {
      if (!Object.hasOwn(fields, key)) report(`${path}.${key}`, 'is not a field that podsplit writes');
    }
    return known(value, path, report);
  };
}

/** These fields; others, which a later version may have written, are left out. */
export function someOf<F extends Fields>(fields: F): Reader<Obj<F>> {
  return (value, path, report) => {
    if (!isRecord(value)) return fail(report, path, `is ${show(value)}, not an object`);
    const entries: [string, unknown][] = [];
    let complete = true;
    for (const [key, reader] of Object.entries(fields)) {
      const present = Object.hasOwn(value, key);
      if (!present && 'optional' in reader) continue;
      const read = present
        ? reader(value[key], `${path}.${key}`, report)
        : fail(report, `${path}.${key}`, 'is missing');
      if (read === unread) complete = false;
      else entries.push([key, read]);
    }
    // Each field was read by the reader that its type comes from.
    return complete ? (Object.fromEntries(entries) as Obj<F>) : unread;
  };
}

export function array<T>(item: Reader<T>, most: number): Reader<readonly T[]> {
  return (value, path, report) => {
    if (!Array.isArray(value)) return fail(report, path, `is ${show(value)}, not an array`);
    if (value.length > most) return fail(report, path, `has ${value.length} entries, more than ${most}`);
    const items = value.map((entry: unknown, i) => item(entry, `${path}[${i}]`, report));
    const read = items.flatMap((entry) => (entry === unread ? [] : [entry]));
    return read.length === items.length ? read : unread;
  };
}

export function oneOf<const T extends string | number>(...allowed: readonly T[]): Reader<T> {
  return (value, path, report) =>
    allowed.find((each) => each === value) ?? fail(report, path, `is ${show(value)}, not ${allowed.join(' or ')}`);
}

export function integer(least: number, most: number): Reader<number> {
  return (value, path, report) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? value
      : fail(report, path, `is ${show(value)}, not a whole number from ${least} to ${most}`);
}

/** RFC 1123, as container names are. */
export const dnsLabel = text('a name of at most 63 small letters, digits and "-"', (value) =>
  /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value),
);

/** Unicast: the low bit of the first byte is not set. */
export const macAddress = text('a unicast MAC address such as 0a:58:c6:12:00:02', (value) =>
  /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(value),
);

export const ipAddress = text('an IP address in canonical form', (value) => canonicalAddress(value) === value);

export const ipv4Address = text(
  'an IPv4 address',
  (value) => familyOf(value) === 'ipv4' && canonicalAddress(value) === value,
);

export const ipv6Address = text(
  'an IPv6 address in canonical form (RFC 5952)',
  (value) => familyOf(value) === 'ipv6' && canonicalAddress(value) === value,
);

export function cidr(version: 4 | 6): Reader<string> {
  return text(`an IPv${version} range such as ${version === 4 ? '198.18.0.0/15' : 'fd99:18::/64'}`, (value) => {
    const [address = ''] = value.split('/');
    return familyOf(address) === `ipv${version}` && canonicalCidr(value) === value;
  });
}

/** `first-last`, as nft writes ranges; a single address is a range too. */
export const addressRange = text('a range of addresses such as 10.0.0.0-10.0.0.255', (value) => {
  const [first = '', last = '', ...more] = value.split('-');
  if (more.length > 0 || canonicalAddress(first) !== first || canonicalAddress(last) !== last) return false;
  return familyOf(first) === familyOf(last) && numberOf(first) <= numberOf(last);
});

function text(what: string, valid: (value: string) => boolean): Reader<string> {
  return (value, path, report) =>
    typeof value === 'string' && valid(value) ? value : fail(report, path, `is ${show(value)}, not ${what}`);
}

function fail(report: Report, path: string, message: string): typeof unread {
  report(path, message);
  return unread;
}

/** Short, and safe to print: what was read may be anything. */
function show(value: unknown): string {
  const shown = JSON.stringify(value) as string | undefined;
  return shown === undefined ? 'missing' : shown.length > 60 ? `${shown.slice(0, 60)}...` : shown;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
