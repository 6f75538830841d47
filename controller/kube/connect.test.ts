import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { connect } from './connect.ts';

describe('connect', () => {
  const environment = process.env;
  let home: string;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'podsplit-home-'));
    process.env = { HOME: home };
  });

  afterEach(() => {
    process.env = environment;
    rmSync(home, { recursive: true });
  });

  it('says so where there is no kubeconfig, and asks nobody on this machine', () => {
    expect(() => connect()).to.throw(TypeError, 'there is none; set KUBECONFIG');
  });
});
