import { expect } from 'chai';
import { type Intent, type ParsedIntent, parseIntent } from './annotations.ts';

const containers = ['web', 'cache', 'statsd'];
const base = 'spec.template.metadata.annotations';

function parse(annotations: Record<string, string>): ParsedIntent {
  return parseIntent({ 'podsplit.io/mode': 'split', ...annotations }, containers, base);
}

function intent(annotations: Record<string, string>): Intent {
  const parsed = parse(annotations);
  if (parsed.kind !== 'intent') throw new Error(JSON.stringify(parsed));
  return parsed;
}

function codes(annotations: Record<string, string>): string[] {
  const parsed = parse(annotations);
  return parsed.kind === 'invalid' ? parsed.refusals.map(({ code, path }) => `${path} ${code}`) : [parsed.kind];
}

describe('parseIntent', () => {
  it('finds none without a mode, whatever else is there', () => {
    expect(parseIntent({ 'podsplit.io/flows': 'nonsense' }, containers, base)).to.deep.equal({ kind: 'none' });
    expect(parseIntent({}, containers, base)).to.deep.equal({ kind: 'none' });
    expect(parse({ 'podsplit.io/mode': 'none', 'podsplit.io/flows': 'nonsense' })).to.deep.equal({ kind: 'none' });
  });

  it('has defaults for all but the mode', () => {
    expect(intent({})).to.deep.equal({
      kind: 'intent',
      mode: 'split',
      primary: { container: 'web', chosenBy: 'first' },
      flows: { kind: 'declared' },
      network: 'default',
      via: [],
      guards: ['token', 'resources'],
      token: [],
    });
  });

  it('takes the primary from its annotation, else from kubectl', () => {
    const kubectl = { 'kubectl.kubernetes.io/default-container': 'cache' };
    expect(intent(kubectl).primary).to.deep.equal({ container: 'cache', chosenBy: 'default-container' });
    expect(intent({ ...kubectl, 'podsplit.io/primary': 'statsd' }).primary).to.deep.equal({
      container: 'statsd',
      chosenBy: 'annotation',
    });
  });

  it('takes an install mode, and leaves it open where the user has no say', () => {
    expect(intent({ 'podsplit.io/install': 'node' }).install).to.equal('node');
    expect(intent({ 'podsplit.io/install': 'init' }).install).to.equal('init');
    expect(intent({})).to.not.have.property('install');
    for (const text of ['', 'Node', ' node', 'agent']) {
      expect(codes({ 'podsplit.io/install': text })).to.deep.equal([`${base}[podsplit.io/install] UnknownInstall`]);
    }
  });

  it('reads flows', () => {
    const text = ' web->cache:6379 ,web  ->  statsd:8125/udp,\n cache->web:65535/TCP';
    expect(intent({ 'podsplit.io/flows': text }).flows).to.deep.equal({
      kind: 'listed',
      flows: [
        { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
        { from: 'web', to: 'statsd', port: 8125, protocol: 'udp' },
        { from: 'cache', to: 'web', port: 65535, protocol: 'tcp' },
      ],
    });
    expect(intent({ 'podsplit.io/flows': ' none ' }).flows).to.deep.equal({ kind: 'listed', flows: [] });
  });

  for (const text of [
    '',
    ',',
    'web',
    'web->',
    '->cache:1',
    'web->cache',
    'web->cache:',
    'None',
    'web->cache:1->web:2',
  ]) {
    it(`does not read ${JSON.stringify(text)} as flows`, () => {
      expect(codes({ 'podsplit.io/flows': text })).to.include(`${base}[podsplit.io/flows] InvalidFlow`);
    });
  }

  for (const port of ['0', '65536', '99999', '1e3', '0x50', '080', '-1', ' 80', '8 0', 'http', '٣']) {
    it(`does not read ${JSON.stringify(port)} as a port`, () => {
      expect(codes({ 'podsplit.io/flows': `web->cache:${port}` })).to.deep.equal([
        `${base}[podsplit.io/flows] InvalidFlow`,
      ]);
    });
  }

  it('reads ways out, with a port to carry all TCP to or without', () => {
    const via = (text: string, dns?: string): unknown =>
      intent({ 'podsplit.io/egress-via': text, ...(dns === undefined ? {} : { 'podsplit.io/egress-dns': dns }) }).via;
    expect(via('web->cache:15001')).to.deep.equal([{ from: 'web', to: 'cache', port: 15001, dns: 'none' }]);
    expect(via(' web -> cache ,\nstatsd->cache:1', 'cluster')).to.deep.equal([
      { from: 'web', to: 'cache', dns: 'cluster' },
      { from: 'statsd', to: 'cache', port: 1, dns: 'cluster' },
    ]);
  });

  for (const [text, ...wanted] of [
    ['', 'InvalidEgressVia'],
    ['web', 'InvalidEgressVia'],
    ['web->cache:', 'InvalidEgressVia'],
    ['web->cache:0', 'InvalidEgressVia'],
    ['web->cache:65536', 'InvalidEgressVia'],
    ['web->cache:15001/tcp', 'InvalidEgressVia'],
    ['web->web', 'InvalidEgressVia'],
    ['web->cache->statsd', 'InvalidEgressVia'],
    ['web->proxy:15001', 'UnknownContainer'],
    ['web->cache,web->statsd', 'InvalidEgressVia'],
    ['web->cache,cache->statsd', 'InvalidEgressVia'],
    ['web->cache,cache->web', 'InvalidEgressVia', 'InvalidEgressVia'],
    [Array(1000).fill('web->cache').join(), 'InvalidEgressVia', 'InvalidEgressVia', 'InvalidEgressVia'],
  ] as const) {
    it(`does not read ${JSON.stringify(text).slice(0, 40)} as ways out`, () => {
      expect(codes({ 'podsplit.io/egress-via': text })).to.deep.equal(
        wanted.map((code) => `${base}[podsplit.io/egress-via] ${code}`),
      );
    });
  }

  it('reads the way in', () => {
    expect(intent({ 'podsplit.io/ingress-via': ' cache:15006\n' }).ingressVia).to.deep.equal({
      to: 'cache',
      port: 15006,
    });
    expect(intent({})).not.to.have.property('ingressVia');
  });

  for (const [text, ...wanted] of [
    ['', 'InvalidIngressVia'],
    ['cache', 'InvalidIngressVia'],
    ['cache:', 'InvalidIngressVia'],
    ['cache:0', 'InvalidIngressVia'],
    ['cache:65536', 'InvalidIngressVia'],
    ['cache:0x50', 'InvalidIngressVia'],
    ['cache:15006/tcp', 'InvalidIngressVia'],
    ['cache:15006,statsd:1', 'InvalidIngressVia'],
    ['web->cache:15006', 'InvalidIngressVia'],
    ['proxy:15006', 'UnknownContainer'],
    ['proxy:0', 'UnknownContainer', 'InvalidIngressVia'],
    [`${'a'.repeat(200_000)}:`, 'UnknownContainer', 'InvalidIngressVia'],
  ] as const) {
    it(`does not read ${JSON.stringify(text).slice(0, 40)} as a way in`, () => {
      expect(codes({ 'podsplit.io/ingress-via': text })).to.deep.equal(
        wanted.map((code) => `${base}[podsplit.io/ingress-via] ${code}`),
      );
    });
  }

  it("takes no name resolution that it does not know, or that is nobody's", () => {
    const path = `${base}[podsplit.io/egress-dns] InvalidEgressDns`;
    expect(codes({ 'podsplit.io/egress-via': 'web->cache', 'podsplit.io/egress-dns': 'None' })).to.deep.equal([path]);
    expect(codes({ 'podsplit.io/egress-dns': 'none' })).to.deep.equal([path]);
  });

  it('know a mode that is written almost right', () => {
    const parsed = parse({ 'podsplit.io/mode': 'spilt' });
    expect(parsed.kind === 'invalid' && parsed.refusals.map(({ message }) => message)).to.deep.equal([
      'Mode "spilt" is not known. Did you mean "split"?',
    ]);
  });

  it('says all that is wrong, with the path of each', () => {
    const path = (key: string): string => `${base}[podsplit.io/${key}]`;
    expect(
      codes({
        'podsplit.io/mode': 'both',
        'podsplit.io/primary': 'nobody',
        'podsplit.io/flows': 'web->nobody:0/sctp, web->web:1',
        'podsplit.io/network': '-',
        'podsplit.io/token': 'nobody',
        'podsplit.io/guards': 'tokne',
        'podsplit.io/flow': '',
        'podsplit.io/pod-ip': '192.0.2.1',
      }),
    ).to.have.members([
      `${path('mode')} UnknownMode`,
      `${path('primary')} UnknownContainer`,
      `${path('flows')} UnknownContainer`,
      `${path('flows')} InvalidFlow`,
      `${path('flows')} InvalidFlow`,
      `${path('flows')} InvalidFlow`,
      `${path('network')} InvalidNetwork`,
      `${path('token')} UnknownContainer`,
      `${path('guards')} UnknownGuard`,
      `${path('flow')} UnknownAnnotation`,
      `${path('pod-ip')} ForgedAnnotation`,
    ]);
  });

  it('suggests what is near, and nothing where nothing is', () => {
    const message = (primary: string): string => {
      const parsed = parse({ 'podsplit.io/primary': primary });
      return parsed.kind === 'invalid' ? (parsed.refusals[0]?.message ?? '') : '';
    };
    expect(message('cahce')).to.contain('Did you mean "cache"?');
    expect(message('WEB1')).to.not.contain('Did you mean');
    expect(message('x'.repeat(100_000))).to.have.length.below(200);
  });

  it('is not slow on long nonsense', () => {
    const started = performance.now();
    for (const text of [
      '-'.repeat(200_000),
      'a-'.repeat(100_000),
      `web->${'a'.repeat(200_000)}`,
      ' '.repeat(200_000),
    ]) {
      expect(parse({ 'podsplit.io/flows': text }).kind).to.equal('invalid');
    }
    expect(performance.now() - started).to.be.below(10_000);
  });

  it('takes a container that is called as every object has a member', () => {
    const parsed = parseIntent(
      { 'podsplit.io/mode': 'split', 'podsplit.io/flows': 'constructor->valueof:1' },
      ['constructor', 'valueof'],
      base,
    );
    expect(parsed.kind).to.equal('intent');
  });
});
