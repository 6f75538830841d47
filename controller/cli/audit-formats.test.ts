import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { careful } from '../audit/testdata/pods.ts';
import { elementsOf } from './testdata/elements.ts';
import { goldensIn } from './testdata/golden.ts';
import { testdata, podsplitAudit, repository, reportOf, everything } from './testdata/audit-run.ts';

const expectGolden = goldensIn(testdata);

/** What SARIF 2.1.0 asks of what is used of it (its schema is not among the packages): sections 3.13 to 3.57. */
describe('the audit as SARIF', () => {
  interface Sarif {
    readonly $schema: string;
    readonly version: string;
    readonly runs: readonly {
      readonly tool: {
        readonly driver: {
          readonly name: string;
          readonly rules: readonly { readonly id: string }[];
          readonly supportedTaxonomies: readonly { readonly name: string }[];
        };
      };
      readonly taxonomies: readonly {
        readonly name: string;
        readonly taxa: readonly { readonly id: string; readonly helpUri: string }[];
      }[];
      readonly results: readonly {
        readonly ruleId: string;
        readonly ruleIndex: number;
        readonly kind: string;
        readonly level: string;
        readonly message: { readonly text: string };
        readonly locations: readonly {
          readonly physicalLocation?: {
            readonly artifactLocation: { readonly uri: string; readonly uriBaseId?: string };
            readonly region: { readonly startLine: number };
          };
          readonly logicalLocations: readonly { readonly fullyQualifiedName: string }[];
          readonly message: { readonly text: string };
        }[];
        readonly taxa: readonly { readonly id: string; readonly toolComponent: { readonly name: string } }[];
        readonly partialFingerprints: Readonly<Record<string, string>>;
      }[];
    }[];
  }

  it('refers to nothing that it does not have', async () => {
    const sarif = JSON.parse((await podsplitAudit([...everything, '-o', 'sarif'])).stdout) as Sarif;
    expect(sarif.version).to.equal('2.1.0');
    expect(sarif.runs).to.have.length(1);
    const [run] = sarif.runs;
    const { tool, results, taxonomies } = run!;
    const taxa = new Map(taxonomies.map(({ name, taxa: own }) => [name, new Set(own.map(({ id }) => id))]));
    expect([...taxa.keys()]).to.deep.equal(tool.driver.supportedTaxonomies.map(({ name }) => name));
    const fingerprints = new Set<string>();
    for (const result of results) {
      expect(tool.driver.rules[result.ruleIndex]?.id).to.equal(result.ruleId);
      // 3.27.9: a level other than "none" is of kind "fail" alone.
      expect([result.kind, result.level === 'none']).to.deep.equal(
        result.kind === 'pass' ? ['pass', true] : ['fail', false],
      );
      expect(['error', 'warning', 'note', 'none']).to.include(result.level);
      expect(result.message.text).to.not.be.empty;
      for (const { id, toolComponent } of result.taxa) expect(taxa.get(toolComponent.name)?.has(id), id).to.equal(true);
      const [location] = result.locations;
      expect(location?.physicalLocation?.region.startLine).to.be.above(1);
      fingerprints.add(Object.values(result.partialFingerprints).join());
    }
    expect(fingerprints.size).to.be.above(results.length * 0.95);
    expectGolden(
      'agent-egress-proxy.sarif',
      (await podsplitAudit(['-f', 'agent-egress-proxy.yaml', '-o', 'sarif'])).stdout,
    );
  });

  it('points to the line of the field, in any document and item', async () => {
    const file = join(repository, 'examples/web/web.yaml');
    const lines = readFileSync(file, 'utf8').split('\n');
    const sarif = JSON.parse((await podsplitAudit(['-f', file, '-o', 'sarif'])).stdout) as Sarif;
    const at = (rule: string, actor: string) => {
      const found = sarif.runs[0]?.results.find(
        ({ ruleId, message }) => ruleId === rule && message.text.startsWith(`${actor} `),
      );
      const { artifactLocation, region } = found?.locations[0]?.physicalLocation ?? {};
      expect(artifactLocation?.uri).to.equal(`file://${file}`);
      return lines[(region?.startLine ?? 0) - 1]?.trim();
    };
    expect(at('PacketSocket', 'statsd')).to.equal('securityContext: { runAsUser: 0 }');
    expect(at('DeclaredPort', 'nginx')).to.equal('ports:');
    expect(at('UndeclaredPort', 'nginx')).to.equal('containers:');

    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
    };
    const stdin = JSON.stringify(pod);
    expect((await podsplitAudit(['-f', '-', '-o', 'sarif'], { stdin })).stdout).to.not.contain('physicalLocation');
  });
});

describe('the audit as a page', () => {
  it('is one well-formed file that loads nothing, and runs the one script that its policy names', async () => {
    const page = (await podsplitAudit([...everything, '-o', 'html'])).stdout;
    const elements = elementsOf(page);
    const named = (name: string) => elements.filter((element) => element.name === name);
    for (const { name, attributes } of elements) {
      expect(['link', 'img', 'iframe', 'object', 'embed', 'base', 'form'], name).to.not.include(name);
      for (const attribute of attributes.keys()) {
        expect(attribute).to.not.match(/^(on|style$|src$|srcset$|xlink|action$|formaction$)/);
      }
      if (name === 'a')
        expect(attributes.get('href')).to.match(/^(#|https:\/\/(attack\.mitre\.org|microsoft\.github\.io)\/)/);
    }
    const policy = named('meta').find(({ attributes }) => attributes.get('http-equiv') === 'Content-Security-Policy');
    const hash = (name: string) =>
      `'sha256-${createHash('sha256')
        .update(named(name)[0]?.text ?? '')
        .digest('base64')}'`;
    expect(policy?.attributes.get('content')?.split('; ')).to.deep.equal([
      "default-src 'none'",
      `style-src ${hash('style')}`,
      `script-src ${hash('script')}`,
      "base-uri 'none'",
      "form-action 'none'",
    ]);
    expect(named('style')).to.have.length(1);
    expect(named('script')).to.have.length(1);
    expect(named('style')[0]?.text).to.not.match(/url\((?!#)|@import|@font-face/);
    expect(named('script')[0]?.text).to.not.match(
      /innerHTML|outerHTML|insertAdjacent|eval|fetch|XMLHttpRequest|import\s*\(/,
    );
  });

  it('can be found one’s way in: a heading order, named parts, and ids that are there once', async () => {
    const elements = elementsOf((await podsplitAudit([...everything, '-o', 'html'])).stdout);
    const ids = elements.flatMap(({ attributes }) => attributes.get('id') ?? []);
    expect(new Set(ids).size).to.equal(ids.length);
    for (const { attributes } of elements) {
      const target = attributes.get('href');
      if (target?.startsWith('#') === true) expect(ids).to.include(target.slice(1));
      const label = attributes.get('aria-labelledby');
      if (label !== undefined) expect(ids).to.include(label);
    }
    const levels = elements.flatMap(({ name }) => (/^h[1-6]$/.test(name) ? [Number(name[1])] : []));
    levels.reduce((before, level) => {
      expect(level - before).to.be.at.most(1);
      return level;
    }, 0);
    expect(levels.filter((level) => level === 1)).to.have.length(1);
    for (const { name, attributes, text } of elements) {
      if (name === 'th') expect(attributes.has('scope')).to.equal(true);
      if (name === 'svg')
        expect(attributes.has('aria-labelledby') || attributes.get('aria-hidden') === 'true').to.equal(true);
      if (attributes.get('role') === 'region') expect(attributes.get('tabindex')).to.equal('0');
      if (name === 'button' || name === 'a') expect(text.trim()).to.not.be.empty;
    }
  });

  it('says all that the report says, also of what is closed', async () => {
    const report = await reportOf(everything);
    const rows = elementsOf((await podsplitAudit([...everything, '-o', 'html'])).stdout).filter(
      ({ attributes }) => attributes.get('class') === 'finding',
    );
    const found = report.workloads.flatMap(({ findings }) => findings);
    expect(rows).to.have.length(found.length);
    for (const [index, { message, evidence, isolate, split, techniques, severity, now }] of found.entries()) {
      const row = rows[index];
      for (const text of [
        message,
        isolate.reason,
        split.reason,
        ...evidence.flatMap(({ path, says }) => [path, says]),
      ]) {
        expect(row?.text).to.contain(text);
      }
      expect(row?.attributes.get('data-techniques')).to.equal(techniques.join(' '));
      expect(row?.attributes.get('data-severity')).to.equal(severity);
      expect(row?.attributes.get('data-now')).to.equal(now);
    }
  });

  it('takes nothing that a cluster says for markup', async () => {
    const image = `"><script>alert(1)</script><img src=x onerror='alert(2)'>\u001b[31m\u202e&amp;`;
    const containers = [
      careful('a', 1, { image }),
      careful('b', 2, { ports: [{ containerPort: 80, name: '</script>' }] }),
    ];
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: '<i>' }, spec: { containers } };
    const page = (await podsplitAudit(['-f', '-', '-o', 'html'], { stdin: JSON.stringify(pod) })).stdout;
    const elements = elementsOf(page);
    expect(elements.filter(({ name }) => name === 'img' || name === 'i')).to.be.empty;
    expect(elements.filter(({ name }) => name === 'script')).to.have.length(1);
    for (const character of ['\u001b', '\u202e']) expect(page).to.not.contain(character);
    const shown = image.replace('\u001b', '?').replace('\u202e', '?');
    expect(elements.some(({ name, text }) => name === 'code' && text === shown)).to.equal(true);
  });
});
