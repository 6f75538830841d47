import { expect } from 'chai';
import { inShort, run } from './run.ts';
import { all, e2e, type Step, type Work } from './steps.ts';

function step(name: string, script: string, needed?: true): Step {
  return { name, command: ['sh', '-c', script], ...(needed && { needed }) };
}

function stepsOf(work: Work): readonly Step[] {
  if ('command' in work) return [work];
  return ('inTurn' in work ? work.inTurn : work.sideBySide).flatMap(stepsOf);
}

describe('make test', () => {
  let printed: string;

  beforeEach(() => {
    printed = '';
  });

  function counted(work: Work) {
    return run(work, (text) => (printed += text));
  }

  const suite = step('suite', 'echo "  3 passing (1s)"; echo "  2 failing"; exit 2');

  it('counts what suites say, and everything else as one', async () => {
    const work = { sideBySide: [suite, { inTurn: [step('fine', 'true'), step('broken', 'false')] }] };
    expect(await counted(work)).to.include({ passed: 4, failed: 3, ends: false });
  });

  it('takes a suite that dies early, runs nothing or cannot be started for failed', async () => {
    const dies = step('dies', 'echo "  3 passing (1s)"; exit 1');
    const empty = step('empty', 'echo "  0 passing (1s)"');
    const missing: Step = { name: 'missing', command: ['there-is-no-such-program'] };
    expect(await counted({ inTurn: [dies, empty, missing] })).to.include({ passed: 3, failed: 3 });
  });

  it('goes on after a failure, but not after that of a needed step, wherever it is', async () => {
    const needed = step('needed', 'false', true);
    const later = step('later', 'echo later');
    await counted({ inTurn: [step('broken', 'false'), later] });
    expect(printed).to.contain('later');
    printed = '';
    const work = { inTurn: [{ sideBySide: [{ inTurn: [needed, later] }, step('beside', 'true')] }, later] };
    expect(await counted(work)).to.include({ passed: 1, failed: 1, ends: true });
    expect(printed).not.to.contain('later');
  });

  it('tells at the end what failed: of a suite its failures, of another step its last lines', async () => {
    const failing = step(
      'failing',
      'echo "  1) a test"; echo "  2 passing"; echo "  1 failing"; echo "  1) why"; exit 1',
    );
    const long = step('long', 'for i in $(seq 100); do echo line $i; done; exit 1');
    const { failures } = await counted({ inTurn: [step('fine', 'echo fine'), failing, long] });
    expect(failures.map(({ step: name }) => name)).to.deep.equal(['failing', 'long']);
    expect(failures[0]?.said).to.equal('1 failing\n  1) why');
    expect(failures[1]?.said).to.match(/^line 71\n[^]*line 100$/);
  });

  it('tells in one line each what failed', () => {
    const said =
      '2 failing\n\n  1) pods\n       live:\n     Error: no: it\n      at x\n\n  2) pods die:\n     AssertionError: why';
    expect(inShort({ step: 'suite', said })).to.deep.equal([
      'failed: suite: pods live: Error: no: it',
      'failed: suite: pods die: AssertionError: why',
    ]);
    expect(inShort({ step: 'types', said: 'a.ts(1,2)\nerror TS1: no' })).to.deep.equal([
      'failed: types: error TS1: no',
    ]);
    expect(inShort({ step: 'long', said: 'x'.repeat(999) })[0]).to.have.length(300);
  });

  it('shows the output of what runs side by side in one piece', async () => {
    const slow = (name: string) => step(name, `for i in 1 2 3; do echo ${name} $i; sleep 0.05; done`);
    await counted({ sideBySide: [slow('one'), slow('two')] });
    for (const name of ['one', 'two']) expect(printed).to.contain(`\n${name} 1\n${name} 2\n${name} 3\n`);
  });

  it('has each step once', () => {
    for (const work of [all, e2e]) {
      const names = stepsOf(work).flatMap(({ command }) => command.join(' '));
      expect(new Set(names).size).to.equal(names.length);
    }
  });

  it('runs each suite of the cluster once, and last what takes podsplit away', () => {
    const suites = stepsOf(all).flatMap(({ command }) => command.filter((word) => /^e2e\/\d+-/.test(word)));
    expect(new Set(suites).size).to.equal(suites.length);
    expect(suites).to.include('e2e/10-web.test.ts').and.include('e2e/45-agent.test.ts');
    expect(suites.at(-1)).to.equal('e2e/90-uninstall.test.ts');
  });
});
