import { expect } from 'chai';
import { ran, type Ran } from './testdata/ran.ts';

interface Asking extends Pick<Ran, 'exitCode' | 'stderr'> {
  /** What kubectl was asked for. */
  readonly asked: readonly (readonly string[])[];
}

/** A cluster that answers every question with this object. */
async function podsplit(args: readonly string[], object: unknown): Promise<Asking> {
  const asked: (readonly string[])[] = [];
  const { exitCode, stderr } = await ran(args, {
    stdout: (text) => {
      throw new Error(`logs prints nothing itself: ${text}`);
    },
    kubectl: (words) => {
      asked.push(words);
      return Promise.resolve(0);
    },
    readKubectl: (words) => {
      asked.push(words);
      return Promise.resolve({ exitCode: 0, stdout: JSON.stringify(object) });
    },
  });
  return { exitCode, stderr, asked };
}

describe('kubectl podsplit logs', () => {
  it('says of a Service that it is not taken, and what is', async () => {
    const service = { kind: 'Service', metadata: { name: 'orders' }, spec: { selector: { app: 'orders' } } };
    const { exitCode, stderr } = await podsplit(['logs', 'svc/orders'], service);
    expect(stderr).to.equal(
      'error: svc/orders is a Service, which is not taken here. ' +
        'Name a Pod, or TYPE/NAME of a Deployment, StatefulSet, DaemonSet, ReplicaSet or Job.\n',
    );
    expect(exitCode).to.equal(2);
    const secret = await podsplit(['logs', 'secret/orders'], { kind: 'Secret', metadata: { name: 'orders' } });
    expect(secret.stderr).to.match(/^error: secret\/orders has no Pods\. Name a Pod, or TYPE\/NAME/);
  });

  const pod = { kind: 'Pod', metadata: { name: 'web', uid: 'u' }, spec: { containers: [{ name: 'web' }] } };
  for (const flags of [['-n', 'shop'], ['-nshop'], ['--namespace', 'shop'], ['--namespace=shop'], ['--context=c']]) {
    it(`takes flags before it as behind it: ${flags.join(' ')}`, async () => {
      const before = await podsplit([...flags, 'logs', 'web', '-c', 'web'], pod);
      expect(before.exitCode).to.equal(0);
      expect(before).to.deep.equal(await podsplit(['logs', ...flags, 'web', '-c', 'web'], pod));
    });
  }
});
