import { expect } from 'chai';
import { catalogue } from '../../e2e/support/attack-catalogue.ts';
import { checks } from './checks/checks.ts';
import { ruleIds, rules } from './rules.ts';
import { techniqueOf, techniques } from './techniques.ts';

describe('the catalogue of the audit', () => {
  it('has a technique once, with an id as its matrix writes them and a page of that matrix', () => {
    expect(new Set(techniques.map(({ id }) => id)).size).to.equal(techniques.length);
    for (const { id, matrix, tactics, url } of techniques) {
      expect(id).to.match(matrix === 'Microsoft' ? /^MS-TA9\d{3}$/ : /^T\d{4}(\.\d{3})?$/);
      expect(url).to.match(
        matrix === 'Microsoft'
          ? /^https:\/\/microsoft\.github\.io\/Threat-Matrix-for-Kubernetes\/techniques\/[A-Za-z0-9%]+\/$/
          : /^https:\/\/attack\.mitre\.org\/techniques\/T\d{4}(\/\d{3})?\/$/,
      );
      expect(tactics).to.not.be.empty;
    }
  });

  it('names no technique that is not in it, and has none that no rule and no attack names', () => {
    const users = [...ruleIds.map((id) => rules[id]), ...catalogue()];
    const named = new Set(users.flatMap((user) => user.techniques).map(techniqueOf));
    expect([...techniques].filter((technique) => !named.has(technique))).to.deep.equal([]);
    expect(() => techniqueOf('T0000')).to.throw(RangeError);
  });

  it('has a check for each rule, and a rule of either matrix or of MITRE where Microsoft has none', () => {
    expect(Object.keys(checks)).to.deep.equal(ruleIds);
    for (const id of ruleIds) {
      expect(
        rules[id].techniques.some((technique) => techniqueOf(technique).matrix === 'MITRE'),
        id,
      ).to.equal(true);
    }
  });
});
