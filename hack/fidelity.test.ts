import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const docs = join(import.meta.dirname, '../docs');
const page = readFileSync(join(docs, 'fidelity.md'), 'utf8');
const rows = page.split('\n').filter((line) => line.startsWith('| ') && !/^\| (---|of) \|/.test(line));

describe('docs/fidelity.md', () => {
  it('has rows', () => {
    expect(rows.length).to.be.greaterThan(40);
  });

  for (const row of rows) {
    const [, what = '', , tests = ''] = row
      .split(' | ')
      .map((cell) => cell.replace(/^\| | \|$/g, ''))
      .toSpliced(0, 0, '');
    it(`has a test for: ${what}`, () => {
      const links = [...tests.matchAll(/\[(.+?)\]\((.+?)\)/g)];
      expect(links, 'no link').not.to.have.length(0);
      for (const [, words = '', path = ''] of links) {
        const file = join(docs, path);
        expect(existsSync(file), path).to.equal(true);
        expect(named(words, path), `${path} has no ${words}`).to.equal(true);
      }
    });
  }
});

/** A golden case is its file, a refusal its heading; of a suite it is code that says so, and no comment. */
function named(words: string, path: string): boolean {
  const text = readFileSync(join(docs, path), 'utf8');
  if (path.endsWith('.yaml')) return true;
  if (path.endsWith('.md')) return text.includes(`## ${words}\n`);
  const code = text.split('\n').filter((line) => !/^\s*(\/\/|\/?\*)/.test(line));
  return code.some((line) => line.includes(words));
}
