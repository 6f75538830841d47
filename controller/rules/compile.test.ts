import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { compile, compileClosed } from './compile.ts';
import { links } from './links.ts';
import { formatWiring, parseWiring } from './wiring-json.ts';
import type { Local } from './wiring.ts';

const testdata = new URL('testdata/', import.meta.url);
const files = readdirSync(testdata)
  // Folders are of other tests.
  .filter((file) => file.includes('.'))
  .sort();
const cases = files.filter((file) => file.endsWith('.json')).map((file) => file.replace(/\.json$/, ''));

/** Compares with testdata/NAME; UPDATE_GOLDEN=1 writes it instead, for `git diff` to judge. */
function expectGolden(name: string, text: string): void {
  const file = new URL(name, testdata);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  expect(existsSync(file), `no testdata/${name}: make it with UPDATE_GOLDEN=1`).to.equal(true);
  expect(text).to.equal(readFileSync(file, 'utf8'));
}

describe('compile', () => {
  for (const name of cases) {
    it(`makes testdata/${name}.nft and .links of ${name}.json`, () => {
      const input = JSON.parse(readFileSync(new URL(`${name}.json`, testdata), 'utf8')) as {
        wiring: object;
        local: Local;
      };
      const wiring = parseWiring(JSON.stringify(input.wiring));
      expect(JSON.parse(formatWiring(wiring))).to.deep.equal(input.wiring);
      expectGolden(`${name}.nft`, compile(wiring, input.local));
      const { ipv4, ipv6 } = links(wiring, input.local);
      expectGolden(`${name}.links`, [...ipv4.map((l) => `-4 ${l}\n`), ...ipv6.map((l) => `-6 ${l}\n`)].join(''));
    });
  }

  it('makes testdata/closed.nft of nothing', () => {
    expectGolden('closed.nft', compileClosed());
  });

  it('has no golden file that nothing makes', () => {
    const made = ['closed.nft', ...cases.flatMap((name) => [`${name}.json`, `${name}.nft`, `${name}.links`])];
    expect(files.filter((file) => !made.includes(file))).to.deep.equal([]);
  });

  it('has one skeleton for all flows and policies: what changes with them is elements and the marker', () => {
    const skeleton = (name: string): string =>
      readFileSync(new URL(name, testdata), 'utf8')
        .split('\n')
        .filter((line) => !/^\t\telements = |^\tcounter wiring /.test(line))
        .join('\n');
    expect(skeleton('no-flows.web.nft')).to.equal(skeleton('dual-stack.web.nft'));
    for (const piece of ['web', 'cache']) {
      expect(skeleton(`policies.${piece}.nft`)).to.equal(skeleton(`dual-stack.${piece}.nft`));
      expect(skeleton(`ingress-via.${piece}.nft`)).to.equal(skeleton(`via.${piece}.nft`));
    }
  });
});
