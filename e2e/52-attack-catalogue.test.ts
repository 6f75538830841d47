// The attacks of e2e/attacks, each in a Pod as it is, isolated and split: what `node hack/attacks.ts` runs.

import { expect } from 'chai';
import { openArena, type Arena } from './support/attack-arena.ts';
import { catalogue, modes, type Attack, type Mode } from './support/attack-catalogue.ts';
import { close, settled, working } from './support/attack-controls.ts';
import { attempt } from './support/attack-run.ts';

describe('attacks of a malicious container', () => {
  const attacks = catalogue();
  let arena: Arena;

  before(async () => {
    arena = await openArena(modes);
  });

  after(() => arena.close());

  const tries = (attack: Attack, mode: Mode): void => {
    const { outcome } = attack.expected[mode];
    it(`${outcome}: ${attack.name} (${attack.id})`, async () => {
      const result = await attempt(attack, arena.scenes[mode]);
      expect(result.outcome, result.seen).to.equal(outcome);
    });
  };

  for (const mode of modes) {
    describe(`in mode ${mode}`, () => {
      before(() => settled(arena.scenes[mode]));

      for (const attack of attacks.filter(({ closed }) => !closed.includes(mode))) tries(attack, mode);

      describe('once a policy selects the container', () => {
        before(() => close(arena.scenes[mode], attacks));

        for (const attack of attacks.filter(({ closed }) => closed.includes(mode))) tries(attack, mode);

        it('what is open is open after all that', () => working(arena.scenes[mode]));
      });
    });
  }
});
