import { expect } from 'chai';
import { CliError } from './cli-error.ts';
import { readKubectlArguments } from './kubectl-arguments.ts';

const none = {
  container: undefined,
  allContainers: false,
  connection: [],
  flags: [],
  command: [],
};

describe('the arguments that are kubectl’s', () => {
  it('are taken apart as kubectl takes them', () => {
    expect(readKubectlArguments('exec', ['-it', 'web-0', '-c', 'cache', '-n', 'shop', '--', 'sh', '-c', 'id'])).to.eql({
      ...none,
      target: 'web-0',
      container: 'cache',
      connection: ['-n', 'shop'],
      flags: ['-i', '-t'],
      command: ['--', 'sh', '-c', 'id'],
    });
    expect(readKubectlArguments('logs', ['-fccache', '--tail', '5', '--since=1h', '-nshop', 'deployment/web'])).to.eql({
      ...none,
      target: 'deployment/web',
      container: 'cache',
      connection: ['-n', 'shop'],
      flags: ['-f', '--tail', '5', '--since=1h'],
    });
    expect(readKubectlArguments('debug', ['--context', 'prod', 'web-0', '--target=cache', '--image', 'debian'])).to.eql(
      {
        ...none,
        target: 'web-0',
        container: 'cache',
        connection: ['--context', 'prod'],
        flags: ['--image', 'debian'],
      },
    );
  });

  it('may name the container of logs by a second word', () => {
    expect(readKubectlArguments('logs', ['web-0', 'cache'])).to.eql({ ...none, target: 'web-0', container: 'cache' });
  });

  it('has two flags whose meaning depends on the command', () => {
    expect(readKubectlArguments('logs', ['-f', 'web-0']).target).to.equal('web-0');
    const debug = readKubectlArguments('debug', ['web-0', '--profile', 'restricted', '--image=debian']);
    expect(debug.flags).to.eql(['--profile', 'restricted', '--image=debian']);
    expect(debug.connection).to.eql([]);
  });

  it('takes all containers only where it is not told otherwise', () => {
    expect(readKubectlArguments('logs', ['web-0', '--all-containers'])).to.include({ allContainers: true });
    expect(readKubectlArguments('logs', ['web-0', '--all-containers=false'])).to.include({ allContainers: false });
  });

  const refused: readonly (readonly [Parameters<typeof readKubectlArguments>, string])[] = [
    [['exec', ['--', 'id']], 'Which Pod?'],
    [['exec', ['web-0', 'id']], '"id" is one name too many. Commands come after "--".'],
    [['logs', ['web-0', '-c', 'cache', 'web']], 'One container at a time: cache or web?'],
    [['logs', ['-l', 'app=web']], 'does not take --selector. Name one Pod'],
    [['exec', ['-f', 'web.yaml', '--', 'id']], 'does not take --filename.'],
    [['debug', ['web-0', '--copy-to=copy']], 'does not take --copy-to. A copy of a piece has no peers'],
    [['logs', ['web-0', '-c']], '-c needs a value.'],
    [['logs', ['web-0', '--tail']], '--tail needs a value.'],
  ];
  for (const [args, message] of refused) {
    it(`refuses ${args[0]} ${args[1].join(' ')}`, () => {
      expect(() => readKubectlArguments(...args)).to.throw(CliError, message);
    });
  }
});
