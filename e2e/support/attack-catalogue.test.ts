import { expect } from 'chai';
import { readRecord } from './attack-record.ts';
import { catalogue, families, filled, modes, parseAttack } from './attack-catalogue.ts';

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
  });

  const wrong: readonly (readonly [change: readonly [string, string], says: string])[] = [
    [['name: Call a port', 'title: Call a port'], 'call.title: unknown'],
    [['family: loopback', 'family: loop'], 'call.family: "loop" is none of'],
    [['MS-TA9034', 'MS-TA0000'], 'call.techniques[0]'],
    [['MS-TA9034, ', ''], "call.techniques: one of Microsoft's and one of MITRE's"],
    [['in: app,', 'in: nowhere,'], 'call.steps[1].in'],
    [['in: app,', 'at: app,'], 'call.steps[1].at: unknown'],
    [[", shows: '^tcp $TOKEN'", ''], 'call.steps: no step shows whether it succeeded'],
    [['^tcp $TOKEN', '^tcp $TOKN'], 'call.steps[1].shows: there is no variable $TOKN'],
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
});
