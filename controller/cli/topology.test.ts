import { expect } from 'chai';
import fc from 'fast-check';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { PodSplit } from '../api/resources.ts';
import type { ApiErrorCode } from '../kube/errors.ts';
import type { Pod } from '../kube/resources.ts';
import type { Io } from './input.ts';
import { podTopology, type PodTopology } from './topology-report.ts';
import { formatTopologyHtml } from './topology-html.ts';
import { formatTopologyMermaid } from './topology-mermaid.ts';
import { formatTopologySvg } from './topology-svg.ts';
import { formatTopologyText } from './topology-text.ts';
import { goldensIn } from './testdata/golden.ts';
import { ran } from './testdata/ran.ts';
import { storedClient } from './testdata/stored-client.ts';
import { objectsOf, stored, type Objects } from './testdata/stored-pods.ts';

const testdata = join(import.meta.dirname, 'testdata');
const now = Date.parse('2026-01-02T03:04:05Z');
const policy: ContainerNetworkPolicy = {
  apiVersion: 'podsplit.io/v1alpha1',
  kind: 'ContainerNetworkPolicy',
  metadata: { name: 'cache', namespace: 'shop' },
  spec: {
    podSelector: { matchLabels: { app: 'web' } },
    containers: ['cache'],
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: {}, containers: ['exporter'] }], ports: [{ port: 6379 }] }],
  },
};

interface Cluster {
  readonly objects?: Objects;
  readonly refused?: Readonly<Record<string, ApiErrorCode>>;
}

function topology(args: readonly string[], { objects = stored(), refused = {} }: Cluster = {}, io: Partial<Io> = {}) {
  const client = storedClient({
    objects: () => objects,
    refused: (plural) => refused[plural],
    words: 'said the server',
  });
  const connect = () => Promise.resolve({ client, namespace: 'shop' });
  return ran(['topology', ...args], { now: () => now, connect, ...io });
}

const expectGolden = goldensIn(testdata);

describe('kubectl podsplit topology', () => {
  const goldens: readonly [string, readonly string[], Cluster?][] = [
    ['topology-pod.txt', ['web-0']],
    ['topology-pod.svg', ['web-0', '-o', 'svg']],
    ['topology-pod.mmd', ['web-0', '-o', 'mermaid']],
    ['topology-pod.html', ['web-0', '-o', 'html']],
    ['topology-namespace.txt', []],
    ['topology-namespace.svg', ['-o', 'svg']],
    ['topology-namespace.mmd', ['-o', 'mermaid']],
    ['topology-policy.txt', ['pod/web-0'], { objects: [...stored(), policy] }],
    [
      'topology-unread.txt',
      ['-A'],
      { objects: objectsOf('status.yaml'), refused: { containernetworkpolicies: 'Forbidden' } },
    ],
  ];
  for (const [golden, args, cluster] of goldens) {
    it(`draws pieces, flows and outside: ${golden}`, async () => {
      const ran = await topology(args, cluster);
      expectGolden(golden, ran.stdout);
      expect(ran).to.include({ exitCode: 0, stderr: '' });
    });
  }

  it('is coloured where somebody sees it, and says the same', async () => {
    const plain = await topology([]);
    const coloured = await topology([], {}, { colours: true });
    expect(coloured.stdout).to.contain('\u001b[1m').and.to.contain('\u001b[31m');
    expect(stripVTControlCharacters(coloured.stdout)).to.equal(plain.stdout);
  });

  it('says in every form what each container may call, and nothing more', () => {
    const [web] = topologies();
    const calls = web!.links.map(({ from, to }) => [from, to]);
    expect(calls).to.have.deep.members([
      ['agent', 'proxy'],
      ['exporter', 'web'],
      ['web', 'cache'],
      ['web', 'statsd'],
    ]);
    const svg = formatTopologySvg([web!]);
    const html = formatTopologyHtml([web!], { from: 'x', at: 'y' });
    for (const { container: from } of web!.pieces) {
      for (const { container: to } of web!.pieces) {
        const drawn = calls.some(([one, other]) => one === from && other === to);
        for (const page of [svg, html]) {
          expect(page.includes(`<title>${from} to ${to}: `), `line from ${from} to ${to}`).to.equal(drawn);
          expect(page.includes(`${from} may call ${to}: `), `words from ${from} to ${to}`).to.equal(drawn);
        }
      }
    }
  });

  it('draws no two lines of pieces on one another', () => {
    const lines = formatTopologySvg([topologies()[0]!]).matchAll(
      /<path class="edge[^"]*"[^>]* d="M\d+ ([\d.]+)H(\d+)V([\d.]+)H/g,
    );
    const parts = [...lines].map(([, from, x, to]) => ({ x, ends: [Number(from), Number(to)] as const }));
    expect(parts).to.have.length(4);
    const ends = parts.flatMap(({ ends: both }) => both);
    expect(new Set(ends).size, 'each end has a place of its own').to.equal(ends.length);
    for (const one of parts) {
      for (const other of parts) {
        if (one === other || one.x !== other.x) continue;
        expect(
          Math.max(...one.ends) < Math.min(...other.ends) || Math.max(...other.ends) < Math.min(...one.ends),
        ).to.equal(true);
      }
    }
  });

  const failures: readonly [string, readonly string[], Cluster, RegExp][] = [
    [
      'no split Pod',
      ['-n', 'other'],
      {},
      /There is no split Pod in namespace other to draw\. .*podsplit\.io\/mode=split\n$/,
    ],
    ['no such Pod', ['nobody'], {}, /There is no Pod nobody in namespace shop\./],
    ['a name in all namespaces', ['web-0', '-A'], {}, /name it by -n instead of -A/],
    ['a name and a selector', ['web-0', '-l', 'app=web'], {}, /not both/],
    ['no podsplit', [], { refused: { podsplits: 'NotFound' } }, /podsplit is not installed there\.\n$/],
    ['no right', [], { refused: { pods: 'Forbidden' } }, /You may not list pods in namespace shop\. Ask for/],
    ['a form that is not known', ['-o', 'png'], {}, /Allowed choices are text, svg, mermaid, html/],
  ];
  for (const [title, args, cluster, message] of failures) {
    it(`says what is in the way, and what to do: ${title}`, async () => {
      const ran = await topology(args, cluster);
      expect(ran.stderr).to.match(message);
      expect(ran).to.include({ exitCode: 2, stdout: '' });
    });
  }

  it('cannot be made to run, or to steer a terminal, by what objects say', () => {
    const nasty = fc.constantFrom(
      '\u001b[2J',
      '<script>x</script>',
      '"]; click x "',
      "' onload='x",
      '\u202e',
      ']]>',
      '%%{init}',
      'a\nb',
    );
    const [web] = topologies();
    fc.assert(
      fc.property(nasty, (text) => {
        const evil = JSON.parse(JSON.stringify(web), (key, value: unknown) =>
          typeof value === 'string' && !['kind', 'role', 'mode', 'dns'].includes(key) ? `${value}${text}` : value,
        ) as PodTopology;
        const plain = formatTopologyText([evil], false);
        expect(plain.replaceAll('\n', '')).to.match(/^\P{C}*$/u);
        expect(plain.split('\n').length).to.equal(formatTopologyText([web!], false).split('\n').length);
        for (const page of [formatTopologySvg([evil]), formatTopologyHtml([evil], { from: text, at: text })]) {
          expect(page).not.to.match(/<script|onload='|[^\P{C}\n]/u);
        }
        const chart = formatTopologyMermaid([evil]);
        expect(chart.split('\n').length).to.equal(formatTopologyMermaid([web!]).split('\n').length);
        const drawn = chart.split('\n').filter((line) => !line.startsWith('  %% '));
        expect(drawn.join('\n')).not.to.match(/click x "|<script|[^\P{C}\n]|\{/u);
      }),
    );
  });

  function topologies(): readonly PodTopology[] {
    const objects = stored();
    return objects
      .filter((each) => each.kind === 'PodSplit')
      .map((object) => {
        const podSplit = object as unknown as PodSplit;
        const primary = objects.find(({ metadata }) => metadata.uid === podSplit.spec.pod.uid) as Pod;
        const policies = { policies: [], directory: { pods: [], namespaces: new Map(), services: [] } };
        return podTopology({ podSplit, primary, pods: [primary] }, policies, now);
      });
  }
});
