import { expect } from 'chai';
import { readRecord } from './attack-record.ts';
import { catalogue, families, filled, modes, parseAttack, type ApiStep } from './attack-catalogue.ts';
import { judged } from './attack-run.ts';

const valid = `
name: Call a port
family: loopback
what: A port is called.
techniques: [MS-TA9034, T1210]
steps:
  - { in: attacker, run: call $TOKEN }
  - { in: app, run: grep $TOKEN $SEEN, shows: '^tcp $TOKEN' }
expected:
  plain: { outcome: succeeds }
  isolate: { outcome: fails, reason: because }
  split: { outcome: fails, reason: because }
`;

describe('the catalogue of attacks', () => {
  it('has some for each family, at least 40, and says of each mode that changes something why', () => {
    const attacks = catalogue();
    expect(attacks.length).to.be.at.least(40);
    expect(new Set(attacks.map(({ family }) => family))).to.deep.equal(new Set(Object.keys(families)));
    expect(new Set(attacks.map(({ name }) => name)).size).to.equal(attacks.length);
    for (const { id, expected } of attacks) {
      expect(expected.plain.outcome, id).to.equal('succeeds');
      for (const mode of modes) if (mode !== 'plain') expect(expected[mode].reason, `${id} ${mode}`).to.be.a('string');
    }
  });

  it('says of each call of the API by which refusal it fails', () => {
    for (const { id, steps, expected } of catalogue()) {
      for (const step of steps.filter((each) => each.kind === 'api')) {
        for (const mode of ['isolate', 'split'] as const) {
          const tried = step.only?.includes(mode) !== false;
          if (tried && expected[mode].outcome === 'fails')
            expect(step.refused[mode], `${id} ${mode}`).to.be.a('string');
        }
      }
    }
  });

  it('tries without a policy whatever is not about policies', () => {
    for (const { id, family, closed, expected } of catalogue()) {
      const aboutPolicies = ['metadata', 'lateral', 'dns', 'exfiltration'].includes(family);
      if (!aboutPolicies) expect(closed, id).to.deep.equal([]);
      for (const mode of closed)
        if (mode !== 'plain') expect(expected[mode].outcome, `${id} ${mode}`).to.equal('fails');
    }
  });

  it('is recorded as a whole in docs/attacks.json, with the outcomes that it expects', () => {
    const expected = catalogue().map(({ id, expected }) => [
      id,
      Object.fromEntries(modes.map((mode) => [mode, expected[mode].outcome])),
    ]);
    expect(readRecord().attacks).to.deep.equal(Object.fromEntries(expected));
  });

  it('reads an attack', () => {
    const attack = parseAttack('call', valid);
    expect(attack).to.include({ id: 'call', name: 'Call a port', family: 'loopback' });
    expect(attack.steps[1]).to.deep.include({ in: 'app', shows: '^tcp $TOKEN', within: 0, must: false });
    expect(attack.expected.split).to.deep.equal({ outcome: 'fails', reason: 'because' });
    expect(attack.closed).to.deep.equal([]);
    expect(parseAttack('call', valid.replace('family: loopback', 'family: dns')).closed).to.deep.equal(modes);
    expect(parseAttack('call', `${valid}policy: [split]`).closed).to.deep.equal(['split']);
  });

  it('refuses a policy in a mode that there is not', () => {
    expect(() => parseAttack('call', `${valid}policy: [whole]`)).to.throw('call.policy[0]: "whole" is none of');
  });

  const called = (more: string): string =>
    valid.replace(/steps:\n.*\n/, (first) => `${first}  - { kubectl: [get], ${more} }\n`);

  it('reads a call of the API', () => {
    const stepOf = (more: string) => parseAttack('call', called(more)).steps[1];
    const step = stepOf('victim: net-raw, refused: no');
    expect(step).to.deep.include({ kind: 'api', victim: 'net-raw', refused: { isolate: 'no', split: 'no' } });
    expect(step).to.deep.include({ mustBeRefused: false });
    expect(stepOf('refused: { split: no }, must: refused, only: [split]')).to.deep.include({
      refused: { split: 'no' },
      mustBeRefused: true,
      only: ['split'],
    });
  });

  for (const [more, says] of [
    ['victim: net-raw', 'call.steps[1].refused: a map is needed here'],
    ['refused: { plain: no }', 'call.steps[1].refused.plain: unknown'],
    ['refused: "("', 'call.steps[1].refused: SyntaxError'],
    ['refused: no, must: true', 'call.steps[1].must: true is none of refused'],
    ['refused: no, victim: rich', 'call.steps[1].victim: "rich" is none of'],
  ] as const) {
    it(`refuses a call of the API with ${more}`, () => {
      expect(() => parseAttack('call', called(more))).to.throw(says);
    });
  }

  const wrong: readonly (readonly [change: readonly [string, string], says: string])[] = [
    [['name: Call a port', 'title: Call a port'], 'call.title: unknown'],
    [['family: loopback', 'family: loop'], 'call.family: "loop" is none of'],
    [['MS-TA9034', 'MS-TA0000'], 'call.techniques[0]'],
    [['MS-TA9034, ', ''], "call.techniques: one of Microsoft's and one of MITRE's"],
    [['in: app,', 'in: nowhere,'], 'call.steps[1].in'],
    [['in: app,', 'at: app,'], 'call.steps[1].at: unknown'],
    [[", shows: '^tcp $TOKEN'", ''], 'call.steps: no step shows whether it succeeded'],
    [['^tcp $TOKEN', '^tcp $TOKN'], 'call.steps[1].shows: there is no variable $TOKN'],
    [["shows: '^tcp $TOKEN'", "shows: '^tcp $TOKEN', must: true"], 'call.steps: no step shows whether it succeeded'],
    [['^tcp $TOKEN', '('], 'call.steps[1].shows: SyntaxError'],
    [['plain: { outcome: succeeds }', 'plain: { outcome: fails }'], 'call.expected.plain: in the plain Pod'],
    [['split: { outcome: fails, reason: because }', 'split: { outcome: fails }'], 'call.expected.split.reason'],
  ];
  for (const [[from, to], says] of wrong) {
    it(`refuses ${to === '' ? `one without ${from}` : to}`, () => {
      expect(valid).to.contain(from);
      expect(() => parseAttack('call', valid.replace(from, to))).to.throw(says);
    });
  }

  it('fills in what is known', () => {
    expect(filled('^$TOKEN at $POD_IP $HOME$', { TOKEN: 't', POD_IP: '10.0.0.1' }, (value) => `<${value}>`)).to.equal(
      '^<t> at <10.0.0.1> $HOME$',
    );
  });

  const step: ApiStep = {
    kind: 'api',
    kubectl: ['delete', 'it'],
    refused: { isolate: 'NotFound', split: 'guard of $NAD' },
    mustBeRefused: false,
  };
  const values = { NAD: 'podsplit-1' };
  const refusedBy = (output: string) => ({ ok: false, output });

  it('takes a call of the API for failed by the refusal of its mode only', () => {
    const guarded = refusedBy('Forbidden: guard of podsplit-1');
    expect(judged(step, 'split', values, guarded)).to.equal(guarded);
    expect(judged(step, 'isolate', values, guarded)).to.contain('was not refused by NotFound: Forbidden');
    expect(judged(step, 'split', values, refusedBy('the server is away'))).to.contain('was not refused by guard');
    expect(judged(step, 'plain', values, guarded)).to.contain('was not refused by what is expected');
  });

  it('takes an accepted call for a success, unless it has to be refused', () => {
    const accepted = { ok: true, output: 'deleted' };
    expect(judged(step, 'split', values, accepted)).to.equal(accepted);
    expect(judged({ ...step, mustBeRefused: true }, 'split', values, accepted)).to.equal(
      'kubectl delete it was accepted',
    );
  });
});
