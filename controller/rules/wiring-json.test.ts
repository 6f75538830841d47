import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { formatWiring, parseWiring, wiringHash, WiringError } from './wiring-json.ts';
import { arbitraryWiring } from './wiring.arbitrary.ts';

const good = (
  JSON.parse(readFileSync(new URL('testdata/dual-stack.cache.json', import.meta.url), 'utf8')) as { wiring: object }
).wiring;

/** The good wiring with one place set to another value; `undefined` takes it away. */
function withValue(path: readonly (string | number)[], value: unknown): string {
  const copy: unknown = structuredClone(good);
  const parent = path.slice(0, -1).reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], copy);
  (parent as Record<string, unknown>)[path.at(-1)!] = value;
  return JSON.stringify(copy);
}

function problemsOf(text: string): readonly string[] {
  try {
    parseWiring(text);
  } catch (error) {
    if (error instanceof WiringError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

describe('wiring annotation', () => {
  it('reads what it writes', () => {
    fc.assert(
      fc.property(arbitraryWiring, ({ wiring }) => {
        expect(parseWiring(formatWiring(wiring))).to.deep.equal(wiring);
      }),
    );
  });

  it('has one text for one wiring, whatever the order of its fields', () => {
    const turned = Object.fromEntries(Object.entries(good).reverse());
    expect(formatWiring(parseWiring(JSON.stringify(turned)))).to.equal(formatWiring(parseWiring(JSON.stringify(good))));
  });

  it('is proved by its SHA-256', () => {
    expect(wiringHash('abc')).to.equal('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  const refused: readonly (readonly [readonly (string | number)[], unknown, string])[] = [
    [['version'], 2, '$.version: is 2, not 1'],
    [['release'], 'yes', '$.release: is "yes", not hold or go'],
    [['role'], undefined, '$.role: is missing'],
    [['extra'], 1, '$.extra: is not a field that podsplit writes'],
    [['piece'], 'web', '$.peers[1].name: web is already at $.piece'],
    [['piece'], 'a b', '$.piece: is "a b", not a name of at most 63 small letters, digits and "-"'],
    [['self'], null, '$.self: is null'],
    [['self', 'mac'], '0b:58:c6:12:00:03', '$.self.mac: is "0b:58:c6:12:00:03", not a unicast MAC address'],
    [['self', 'mac'], '0a:58:c6:12:00:04', '$.peers[0].mac: 0a:58:c6:12:00:04 is already at $.self.mac'],
    [['self', 'ipv4'], '198.18.0.03', '$.self.ipv4: is "198.18.0.03", not an IPv4 address'],
    [['self', 'ipv4'], '10.0.0.1', '$.self.ipv4: 10.0.0.1 is not in the pool 198.18.0.0/15'],
    [['self', 'ipv4'], '198.18.0.3 }; flush ruleset; #', '$.self.ipv4: is "198.18.0.3 }; flush ruleset; #", not'],
    [['self', 'ipv6'], 'FD99:18::3', '$.self.ipv6: is "FD99:18::3", not an IPv6 address in canonical form'],
    [['self', 'ipv6'], 'fe80::1%eth0', '$.self.ipv6: is "fe80::1%eth0", not an IPv6 address'],
    [['self', 'podIPs'], ['::ffff:10.0.0.1'], '$.self.podIPs[0]: is "::ffff:10.0.0.1", not an IP address'],
    [['pool', 'ipv4'], '198.18.0.1/15', '$.pool.ipv4: is "198.18.0.1/15", not an IPv4 range'],
    [['pool', 'ipv4'], '198.18.0.0/33', '$.pool.ipv4: is "198.18.0.0/33", not an IPv4 range'],
    [['peers', 1, 'role'], 'sibling', '$.peers: a sibling has 1 primary among its peers, found 0'],
    [['peers', 0, 'ipv4'], '198.18.0.3', '$.peers[0].ipv4: 198.18.0.3 is already at $.self.ipv4'],
    [['flows', 0, 'port'], 0, '$.flows[0].port: is 0, not a whole number from 1 to 65535'],
    [['flows', 0, 'port'], '80', '$.flows[0].port: is "80", not a whole number'],
    [['flows', 0, 'protocol'], 'sctp', '$.flows[0].protocol: is "sctp", not tcp or udp'],
    [['flows', 0, 'to'], 'nobody', '$.flows[0].to: no piece is named nobody'],
    [['flows', 0, 'to'], 'web', '$.flows[0]: leads from a piece to itself'],
    [
      ['flows', 1],
      { from: 'web', to: 'statsd', port: 6379, protocol: 'tcp' },
      '$.flows[1]: web already reaches cache at 6379/tcp',
    ],
    [['ingressVia'], { to: 'nobody', port: 1, direct: [], probes: [] }, '$.ingressVia.to: no piece is named nobody'],
    [['ingressVia'], { to: 'web', port: 1, direct: [], probes: [] }, '$.facade[0]: cache would be called around web'],
    [['facade', 0, 'piece'], 'web', '$.facade[0].piece: no sibling is named web'],
    [['facade', 1], { piece: 'statsd', port: 6379, protocol: 'tcp' }, "$.facade[1]: 6379/tcp is already cache's"],
  ];
  for (const [path, value, problem] of refused) {
    it(`refuses ${path.join('.')} = ${JSON.stringify(value)}`, () => {
      expect(problemsOf(withValue(path, value)).join('\n')).to.include(problem);
    });
  }

  it('refuses what is no JSON, and an endpoint without an address', () => {
    expect(problemsOf('{"version":1')).to.have.length(1);
    expect(problemsOf(withValue(['self'], { mac: '0a:58:c6:12:00:03' }))).to.deep.equal([
      '$.self: has neither ipv4 nor ipv6',
    ]);
  });

  it('tells all problems at once', () => {
    const text = withValue(['flows', 0], { from: 'web', to: 'cache', port: 'x', protocol: 'icmp', why: 1 });
    expect(problemsOf(text)).to.have.length(3);
  });
});
