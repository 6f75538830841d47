// The attacks of e2e/attacks, each in a Pod as it is, isolated and split: what `node hack/attacks.ts` runs.

import { expect } from 'chai';
import { openArena, settled, type Arena } from './support/attack-arena.ts';
import { catalogue, modes } from './support/attack-catalogue.ts';
import { attempt } from './support/attack-run.ts';

describe('attacks of a malicious container', () => {
  let arena: Arena;

  before(async () => {
    arena = await openArena(modes);
  });

  after(() => arena.close());

  for (const mode of modes) {
    describe(`in mode ${mode}`, () => {
      before(() => settled(arena.scenes[mode]));

      for (const attack of catalogue()) {
        const { outcome } = attack.expected[mode];
        it(`${outcome}: ${attack.name} (${attack.id})`, async () => {
          const result = await attempt(attack, arena.scenes[mode]);
          expect(result.outcome, result.seen).to.equal(outcome);
        });
      }
    });
  }
});
