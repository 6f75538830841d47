import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Compares with a file of the folder; UPDATE_GOLDEN=1 writes it instead, for `git diff` to judge. */
export function goldensIn(folder: string): (name: string, actual: string) => void {
  return (name, actual) => {
    const file = join(folder, name);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, actual);
    expect(actual).to.equal(readFileSync(file, 'utf8'));
  };
}
