import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type Page, startChromium } from './chromium.ts';

const testdata = join(import.meta.dirname, '../../controller/cli/testdata');

/** What `kubectl podsplit topology` printed, as somebody opens it from a disk. */
describe('the drawings of the topology, in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-topology-'));
  let browser: Browser;

  before(() => {
    browser = startChromium();
  });
  after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  async function open(name: string): Promise<{ readonly page: Page; readonly url: string }> {
    const file = join(folder, name);
    writeFileSync(file, readFileSync(join(testdata, name)));
    const url = pathToFileURL(file).href;
    return { page: await browser.open(url), url };
  }

  const prefers = (page: Page, value: string) =>
    page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });

  for (const name of ['topology-pod.svg', 'topology-namespace.svg', 'topology-pod.html']) {
    it(`asks nobody for anything, and complains of nothing: ${name}`, async () => {
      const { page, url } = await open(name);
      expect(page.requests).to.deep.equal([url]);
      expect(page.complaints).to.deep.equal([]);
    });

    it(`keeps its words inside, and those of a piece in its box: ${name}`, async () => {
      const { page } = await open(name);
      const outside = await page.evaluate(`[...document.querySelectorAll('svg[role=img]')].flatMap((svg) => {
        const frame = svg.getBoundingClientRect();
        const within = (inner, outer) =>
          inner.left >= outer.left && inner.right <= outer.right && inner.top >= outer.top && inner.bottom <= outer.bottom + 1;
        return [...svg.querySelectorAll('text')]
          .filter((text) => {
            const box = text.parentElement.querySelector(':scope > rect.box');
            return !within(text.getBoundingClientRect(), box === null ? frame : box.getBoundingClientRect());
          })
          .map((text) => text.textContent);
      })`);
      expect(outside).to.deep.equal([]);
    });

    it(`is dark where the reader prefers that: ${name}`, async () => {
      const { page } = await open(name);
      const colours = () =>
        page.evaluate(`(() => {
          const text = getComputedStyle(document.querySelector('.topology .name')).fill;
          const box = getComputedStyle(document.querySelector('.topology .box')).fill;
          return [text, box];
        })()`);
      await prefers(page, 'light');
      const light = await colours();
      expect(light).to.deep.equal(['rgb(27, 31, 39)', 'rgb(246, 247, 249)']);
      await prefers(page, 'dark');
      expect(await colours()).to.deep.equal(['rgb(232, 234, 238)', 'rgb(29, 33, 40)']);
    });

    it(`is named and described for who does not see it: ${name}`, async () => {
      const { page } = await open(name);
      await page.send('Accessibility.enable');
      const { nodes } = await page.send('Accessibility.getFullAXTree');
      const images = (nodes as AccessibleNode[]).filter(({ role }) => role?.value === 'image' || role?.value === 'img');
      expect(images.length).to.be.greaterThan(0);
      for (const { name: said } of images) {
        expect(said?.value).to.match(/^Who may reach whom in /);
        expect(said?.value).to.contain('agent may call proxy: 3128/tcp');
      }
    });
  }
});

interface AccessibleNode {
  readonly role?: { readonly value: string };
  readonly name?: { readonly value: string };
}
