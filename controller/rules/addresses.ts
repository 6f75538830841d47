import { Address4, Address6 } from 'ip-address';

export type Family = 'ipv4' | 'ipv6';
export const families: readonly Family[] = ['ipv4', 'ipv6'];

export function familyOf(address: string): Family {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/** Dotted decimal, or RFC 5952; undefined where the text is no plain address (a zone, a prefix length, IPv4-mapped). */
export function canonicalAddress(text: string): string | undefined {
  if (!/^[0-9a-f.:]+$/.test(text)) return undefined;
  try {
    if (familyOf(text) === 'ipv4') return new Address4(text).correctForm();
    const address = new Address6(text);
    return address.is4() || text.includes('.') ? undefined : address.correctForm();
  } catch {
    return undefined;
  }
}

/** The network's first address and prefix length; undefined where the text is no range. */
export function canonicalCidr(text: string): string | undefined {
  const [address = '', length = '', ...more] = text.split('/');
  const family = familyOf(address);
  const most = family === 'ipv4' ? 32 : 128;
  if (more.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > most) return undefined;
  if (canonicalAddress(address) === undefined) return undefined;
  const range = family === 'ipv4' ? new Address4(text) : new Address6(text);
  return `${range.startAddress().correctForm()}/${length}`;
}

export function contains(range: string, address: string): boolean {
  if (familyOf(range) !== familyOf(address)) return false;
  return familyOf(range) === 'ipv4'
    ? new Address4(address).isInSubnet(new Address4(range))
    : new Address6(address).isInSubnet(new Address6(range));
}

export function numberOf(address: string): bigint {
  return (familyOf(address) === 'ipv4' ? new Address4(address) : new Address6(address)).bigInt();
}

export function addressOf(number: bigint, family: Family): string {
  return (family === 'ipv4' ? Address4 : Address6).fromBigInt(number).correctForm();
}

/** The link-local address that an interface gives itself unless told otherwise (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map((byte) => Number.parseInt(byte, 16));
  const groups = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return new Address6(`fe80::${groups.map((group) => group.toString(16)).join(':')}`).correctForm();
}
