import { expect } from 'chai';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { list, record } from '../../controller/api/json.ts';
import { audit, type AuditReport } from '../../controller/audit/report.ts';
import { auditOptions } from '../../controller/audit/testdata/pods.ts';
import { formatHtml } from '../../controller/cli/audit-html.ts';
import { inputOfManifests } from '../../controller/cli/audit-input.ts';
import { readManifests } from '../../controller/cli/input.ts';
import { type Browser, type Page, startChromium } from './chromium.ts';

/** The page of all manifests that the audit is reviewed by, as somebody opens it from a disk. */
describe('the page of the audit, in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-audit-'));
  const file = join(folder, 'audit.html');
  const url = pathToFileURL(file).href;
  let browser: Browser;
  let report: AuditReport;
  let page: Page;

  before(async () => {
    report = await reviewed();
    writeFileSync(file, formatHtml(report));
    browser = startChromium();
  });
  beforeEach(async () => {
    page = await browser.open(url);
  });
  after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  it('asks nobody for anything, and complains of nothing', async () => {
    await page.evaluate('document.querySelectorAll("details").forEach((details) => { details.open = true; })');
    expect(page.requests).to.deep.equal([url]);
    expect(page.complaints).to.deep.equal([]);
  });

  it('would let no other script run, nor load anything', async () => {
    await page.evaluate(`(() => {
      const script = document.createElement('script');
      script.textContent = 'window.ran = true';
      document.body.append(script);
      const image = new Image();
      image.src = 'http://127.0.0.1:9/x.png';
      document.body.append(image);
    })()`);
    await page.evaluate('new Promise((resolve) => setTimeout(resolve, 200))');
    expect(await page.evaluate('window.ran')).to.equal(undefined);
    expect(page.complaints.join()).to.contain('Content Security Policy');
    expect(page.requests).to.deep.equal([url]);
  });

  /** Numbers of the matrix: workload and technique with how many and how grave. */
  const cells = async (): Promise<unknown> =>
    page.evaluate(`Object.fromEntries([...document.querySelectorAll('.heat td[data-technique]')]
      .filter((cell) => cell.dataset.level !== 'none' && !cell.closest('tr').hidden)
      .map((cell) => [cell.dataset.workload + ' ' + cell.dataset.technique, cell.textContent.trim()]))`);

  const expectedCells = (
    remains: (finding: AuditReport['workloads'][number]['findings'][number]) => boolean,
  ): Readonly<Record<string, string>> => {
    const severities = ['critical', 'high', 'medium', 'low'];
    return Object.fromEntries(
      report.workloads.flatMap(({ findings }, index) => {
        const groups = Map.groupBy(
          findings
            .filter(remains)
            .flatMap((finding) => finding.techniques.map((technique) => ({ technique, finding }))),
          ({ technique }) => technique,
        );
        return [...groups].map(([technique, group]) => {
          const worst = Math.min(...group.map(({ finding }) => severities.indexOf(finding.severity)));
          return [`w${index + 1} ${technique}`, `${group.length} ${severities[worst] ?? ''}`];
        });
      }),
    );
  };

  const choose = (selector: string): Promise<unknown> => page.evaluate(`document.querySelector('${selector}').click()`);
  const shown = (): Promise<unknown> => page.evaluate('document.getElementById("shown").textContent');

  it('counts in the matrix what is open as the Pods run, and what each mode would leave', async () => {
    expect(await cells()).to.deep.equal(expectedCells(({ now }) => now !== 'closed'));
    await choose('input[value="split"]');
    expect(await cells()).to.deep.equal(expectedCells(({ split }) => split.effect !== 'closed'));
    await choose('input[value="isolate"]');
    expect(await cells()).to.deep.equal(expectedCells(({ isolate }) => isolate.effect !== 'closed'));
  });

  it('shows what the filters leave, and says how much that is', async () => {
    const all = report.workloads.length;
    expect(await shown()).to.match(new RegExp(`^${all} of ${all} workloads, \\d+ findings open$`));
    for (const severity of ['high', 'medium', 'low']) await choose(`input[value="${severity}"]`);
    const critical = ({ severity }: { severity: string }): boolean => severity === 'critical';
    expect(await cells()).to.deep.equal(expectedCells((finding) => critical(finding) && finding.now !== 'closed'));
    const grave = report.workloads.filter(({ findings }) => findings.some(critical)).length;
    expect(await shown()).to.match(new RegExp(`^${grave} of ${all} workloads`));

    for (const severity of ['high', 'medium', 'low']) await choose(`input[value="${severity}"]`);
    await type('words', 'vault-secrets');
    expect(await shown()).to.match(new RegExp(`^1 of ${all} workloads, 3 findings open$`));
    await type('words', '');
    await pick('namespace', 'finance');
    const inFinance = report.workloads.filter(({ namespace }) => namespace === 'finance');
    expect(await shown()).to.match(new RegExp(`^${inFinance.length} of`));
    await pick('channel', 'identity');
    const rules = new Set(report.rules.filter(({ channel }) => channel === 'identity').map(({ id }) => id));
    const found = inFinance.flatMap(({ findings }) => findings).filter(({ rule }) => rules.has(rule));
    expect(await shown()).to.contain(`, ${found.length} findings open`);
    await choose('input[name="matrix"][value="MITRE"]');
    const columns = `[...document.querySelectorAll('.heat th.technique')].filter((each) => each.offsetWidth > 0).map((each) => each.dataset.matrix)`;
    expect(new Set(list(await page.evaluate(columns)))).to.deep.equal(new Set(['MITRE']));
  });

  const input = (id: string, value: string): Promise<unknown> =>
    page.evaluate(`(() => {
      const field = document.getElementById('${id}');
      field.value = '${value}';
      field.dispatchEvent(new Event('input', { bubbles: true }));
    })()`);
  const type = input;
  const pick = input;

  it('draws who reaches whom, and less where a mode closes it', async () => {
    const lines = `(() => {
      const workload = [...document.querySelectorAll('.workload')].find((each) => each.textContent.includes('www/deployment/blog'));
      workload.open = true;
      const edges = [...workload.querySelectorAll('.edge')];
      const boxes = [...workload.querySelectorAll('svg rect')].map((box) => box.getBoundingClientRect());
      const apart = boxes.every((one, i) => boxes.every((other, j) => i === j || one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top));
      const svg = workload.querySelector('svg').getBoundingClientRect();
      const inside = boxes.every((box) => box.left >= svg.left && box.right <= svg.right && box.top >= svg.top && box.bottom <= svg.bottom);
      return { drawn: edges.filter((edge) => getComputedStyle(edge).display !== 'none').length, all: edges.length, apart, inside };
    })()`;
    const now = record(await page.evaluate(lines));
    expect(now).to.include({ apart: true, inside: true });
    expect(now['drawn']).to.equal(now['all']);
    await choose('input[value="split"]');
    // Frames in the name of other Pods were all that led there.
    const split = record(await page.evaluate(lines));
    expect(Number(split['drawn'])).to.be.below(Number(now['drawn']));
  });

  it('can be used by the keyboard alone', async () => {
    await page.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).to.equal('To the workloads');
    const visible =
      '(() => { const { left, width } = document.activeElement.getBoundingClientRect(); return left >= 0 && width > 0; })()';
    expect(await page.evaluate(visible)).to.equal(true);
    await page.press('Tab');
    expect(await page.evaluate('document.activeElement.id')).to.equal('theme');
    // All that can be reached shows that it was, and nothing holds the focus.
    const seen = new Set<string>();
    for (let count = 0; count < 60; count++) {
      await page.press('Tab');
      const [name, outline] = list(
        await page.evaluate(
          '(() => { const it = document.activeElement; return [it.tagName + it.className + it.name + it.value + it.href + it.id, getComputedStyle(it).outlineStyle]; })()',
        ),
      );
      expect(outline).to.not.equal('none');
      seen.add(String(name));
    }
    expect(seen.size).to.be.above(40);
    await page.evaluate('document.querySelector(".workload summary").focus()');
    await page.press('Enter');
    expect(await page.evaluate('document.querySelector(".workload").open')).to.equal(true);
  });

  it('leads from the matrix to the findings that are meant', async () => {
    await page.evaluate('document.querySelector("#heat-w3 td[data-technique=T1040] a").focus()');
    await page.press('Enter');
    await page.evaluate('new Promise((resolve) => setTimeout(resolve, 100))');
    const found = record(
      await page.evaluate(`({
        open: [...document.querySelectorAll('.workload[open]')].map(({ id }) => id),
        hits: [...document.querySelectorAll('tr.hit')].map(({ dataset }) => dataset.techniques),
        focus: document.activeElement.closest('.workload')?.id,
      })`),
    );
    expect(found['open']).to.deep.equal(['w3']);
    expect(found['focus']).to.equal('w3');
    expect(list(found['hits'])).to.not.be.empty;
    for (const hit of list(found['hits'])) expect(String(hit).split(' ')).to.include('T1040');
  });

  const ratios = `(() => {
    const luminance = (colour) => {
      const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      for (let each = element; each !== null; each = each.parentElement) {
        const { backgroundColor } = getComputedStyle(each);
        if (!/, 0\\)$/.test(backgroundColor)) return backgroundColor;
      }
      return 'rgb(255, 255, 255)';
    };
    document.querySelectorAll('details').forEach((details, index) => { details.open = index < 3; });
    const texts = [...document.querySelectorAll('body *')].filter((element) => element.checkVisibility() && element.closest('svg, .said, .skip') === null && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== ''));
    return texts.map((element) => {
      const [one, other] = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort((a, b) => b - a);
      return [(one + 0.05) / (other + 0.05), element.tagName + '.' + element.className + ' ' + (element.closest('[data-level]')?.dataset.level ?? '')];
    }).filter(([ratio]) => ratio < 4.5).map(([ratio, name]) => name + ' ' + ratio.toFixed(2));
  })()`;

  for (const scheme of ['light', 'dark']) {
    it(`can be read where people like it ${scheme}: WCAG AA, 4.5 to 1`, async () => {
      await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
      const ground = 'getComputedStyle(document.body).backgroundColor';
      expect(await page.evaluate(ground)).to.equal(scheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 23, 28)');
      expect(await page.evaluate(ratios)).to.deep.equal([]);
      // The button decides for itself: system, light, dark.
      await choose('#theme');
      expect(await page.evaluate(ground)).to.equal('rgb(255, 255, 255)');
      await choose('#theme');
      expect(await page.evaluate(ground)).to.equal('rgb(20, 23, 28)');
      expect(await page.evaluate('document.getElementById("theme").textContent')).to.equal('Theme: dark');
    });
  }

  it('tells a screen reader the name of all that is used, and of what is drawn', async () => {
    await page.evaluate(
      'document.querySelectorAll("details").forEach((details, index) => { details.open = index < 3; })',
    );
    const { nodes } = await page.send('Accessibility.getFullAXTree');
    const named = [
      'button',
      'checkbox',
      'radio',
      'combobox',
      'searchbox',
      'link',
      'img',
      'image',
      'region',
      'search',
      'table',
    ];
    const found = list(nodes).map((node) => {
      const { role, name, ignored } = record(node);
      return { role: textOf(record(role)['value']), name: textOf(record(name)['value']), ignored };
    });
    const used = found.filter(({ role, ignored }) => ignored !== true && named.includes(role));
    expect(used.length).to.be.above(100);
    expect(used.filter(({ name, role }) => name.trim() === '' && role !== 'table')).to.deep.equal([]);
    const roles = new Set(found.map(({ role }) => role));
    for (const role of ['banner', 'main', 'search', 'status', 'columnheader', 'rowheader'])
      expect([...roles]).to.include(role);
  });

  it('has all there is to read without scripts', async () => {
    await page.send('Emulation.setScriptExecutionDisabled', { value: true });
    await page.send('Page.reload');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await page.send('Emulation.setScriptExecutionDisabled', { value: false });
    const seen = record(
      await page.evaluate(`({
        filters: document.querySelector('.filters').checkVisibility(),
        findings: document.querySelectorAll('tr.finding').length,
        hidden: document.querySelectorAll('tr.finding[hidden], .workload[hidden]').length,
      })`),
    );
    expect(seen).to.deep.equal({
      filters: false,
      findings: report.workloads.flatMap(({ findings }) => findings).length,
      hidden: 0,
    });
    expect(await cells()).to.deep.equal(expectedCells(({ now }) => now !== 'closed'));
  });

  it('fits a small screen without scrolling sideways', async () => {
    await page.send('Emulation.setDeviceMetricsOverride', {
      width: 390,
      height: 800,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await page.evaluate(
      'document.querySelectorAll("details").forEach((details, index) => { details.open = index < 3; })',
    );
    expect(await page.evaluate('document.documentElement.scrollWidth')).to.be.at.most(390);
  });
});

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

async function reviewed(): Promise<AuditReport> {
  const folder = join(import.meta.dirname, '../../controller/cli/testdata/audit');
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  const io = {
    readFile: (path: string) => Promise.resolve(readFileSync(join(folder, path))),
    readStdin: () => Promise.reject(new Error('all is in files')),
    stdinIsTerminal: true,
  };
  const manifests = await readManifests(files, io);
  const made = { at: '2026-01-02T03:04:05.000Z', by: 'podsplit test', from: 'manifests', without: [] };
  return audit(inputOfManifests(manifests, undefined).candidates, made, () => auditOptions).report;
}
