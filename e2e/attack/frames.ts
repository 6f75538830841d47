/** Ethernet frames in hex, as a container with CAP_NET_RAW may send them. Checksums of UDP over IPv4 may be 0 (RFC 768). */

import { numberOf } from '../../controller/rules/addresses.ts';

export interface Addresses {
  readonly from: string;
  readonly to: string;
}

export function udp4(mac: Addresses, ip: Addresses, port: number, sport = 40_000): string {
  return Buffer.concat([ethernetHead(mac, 0x0800), udpPacket(ip, port, sport)]).toString('hex');
}

/** "Port unreachable" (RFC 792) about a datagram that `quoted.from` sent. */
export function portUnreachable4(
  mac: Addresses,
  ip: Addresses,
  quoted: Addresses,
  port: number,
  sport: number,
): string {
  const icmp = Buffer.concat([Buffer.from([3, 3, 0, 0, 0, 0, 0, 0]), udpPacket(quoted, port, sport)]);
  icmp.writeUInt16BE(checksum(icmp), 2);
  return Buffer.concat([ethernetHead(mac, 0x0800), ipv4(ip, 1, icmp.length), icmp]).toString('hex');
}

function udpPacket(ip: Addresses, port: number, sport: number): Buffer {
  const udp = Buffer.alloc(16);
  udp.writeUInt16BE(sport, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  return Buffer.concat([ipv4(ip, 17, udp.length), udp]);
}

export function tcpSyn4(mac: Addresses, ip: Addresses, port: number, sport: number): string {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(sport, 0);
  tcp.writeUInt16BE(port, 2);
  tcp.writeUInt32BE(1, 4);
  tcp.writeUInt16BE(0x5002, 12);
  tcp.writeUInt16BE(65_535, 14);
  const pseudo = Buffer.concat([bytes4(ip.from), bytes4(ip.to), Buffer.from([0, 6, 0, 20])]);
  tcp.writeUInt16BE(checksum(Buffer.concat([pseudo, tcp])), 16);
  return Buffer.concat([ethernetHead(mac, 0x0800), ipv4(ip, 6, tcp.length), tcp]).toString('hex');
}

/** "ip.from is at mac.from", as an answer that nobody asked for (RFC 826). */
export function arpReply(mac: Addresses, ip: Addresses): string {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, 2]);
  const body = [macBytes(mac.from), bytes4(ip.from), macBytes(mac.to), bytes4(ip.to)];
  return Buffer.concat([ethernetHead(mac, 0x0806), head, ...body]).toString('hex');
}

/** A router advertisement (RFC 4861) that makes its sender the default router and gives out fdbad::/64. */
export function routerAdvertisement(fromMac: string): string {
  const source = bytes6('fe80::bad');
  const allNodes = bytes6('ff02::1');
  const prefix = Buffer.concat([
    Buffer.from([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0]),
    bytes6('fdba:d::'),
  ]);
  const icmp = Buffer.concat([Buffer.from([134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]), prefix]);
  const pseudo = Buffer.concat([source, allNodes, Buffer.from([0, 0, 0, icmp.length, 0, 0, 0, 58])]);
  icmp.writeUInt16BE(checksum(Buffer.concat([pseudo, icmp])), 2);
  const head = Buffer.from([0x60, 0, 0, 0, 0, icmp.length, 58, 255]);
  const mac = { from: fromMac, to: '33:33:00:00:00:01' };
  return Buffer.concat([ethernetHead(mac, 0x86dd), head, source, allNodes, icmp]).toString('hex');
}

export /** A frame of any type (of a length below 0x600: LLC). */
function ethernet(mac: Addresses, type: number, body: Buffer): string {
  return Buffer.concat([ethernetHead(mac, type), body]).toString('hex');
}

function ethernetHead({ from, to }: Addresses, type: number): Buffer {
  return Buffer.concat([macBytes(to), macBytes(from), Buffer.from([type >> 8, type & 0xff])]);
}

function ipv4({ from, to }: Addresses, protocol: number, length: number): Buffer {
  const header = Buffer.from([0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0]);
  header.writeUInt16BE(20 + length, 2);
  const whole = Buffer.concat([header, bytes4(from), bytes4(to)]);
  whole.writeUInt16BE(checksum(whole), 10);
  return whole;
}

/** A part of a packet: where it begins, in multiples of eight bytes, and whether there is another. */
export interface Fragment {
  readonly offset: number;
  readonly more: boolean;
}

/** Any protocol over IPv4; with options, in multiples of four bytes, behind the header. */
export function packet4(ip: Addresses, protocol: number, body: Buffer, options = '', fragment?: Fragment): Buffer {
  const extra = Buffer.from(options, 'hex');
  const header = ipv4(ip, protocol, extra.length + body.length);
  header[0] = 0x45 + extra.length / 4;
  if (fragment !== undefined) header.writeUInt16BE((fragment.more ? 0x2000 : 0) + fragment.offset / 8, 6);
  header.writeUInt16BE(0, 10);
  const whole = Buffer.concat([header, extra]);
  whole.writeUInt16BE(checksum(whole), 10);
  return Buffer.concat([whole, body]);
}

/** Any protocol over IPv6, with the checksum that ICMPv6 (RFC 4443) and UDP have there. */
export function packet6(ip: Addresses, next: number, body: Buffer): Buffer {
  const head = Buffer.from([0x60, 0, 0, 0, 0, 0, next, 255]);
  head.writeUInt16BE(body.length, 4);
  const addresses = Buffer.concat([ip.from, ip.to].map((each) => bytes6(each)));
  const at = { 58: 2, 17: 6 }[next];
  if (at !== undefined) {
    const pseudo = Buffer.concat([addresses, Buffer.from([0, 0, body.length >> 8, body.length & 0xff, 0, 0, 0, next])]);
    body.writeUInt16BE(0, at);
    body.writeUInt16BE(checksum(Buffer.concat([pseudo, body])), at);
  }
  return Buffer.concat([head, addresses, body]);
}

/** A datagram without its IP header. */
export function datagram(port: number, payload: string, sport = 40_000): Buffer {
  const data = Buffer.from(payload, 'hex');
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(sport, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(8 + data.length, 4);
  return Buffer.concat([udp, data]);
}

/** RFC 1071. */
function checksum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += ((data[i] ?? 0) << 8) + (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function bytes4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function bytes6(address: string): Buffer {
  return Buffer.from(numberOf(address).toString(16).padStart(32, '0'), 'hex');
}
