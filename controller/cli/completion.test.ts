import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PodSplit } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { shells } from './completion.ts';
import type { ClusterOptions } from './flows-command.ts';
import { ran } from './testdata/ran.ts';

const testdata = join(import.meta.dirname, 'testdata');
const bin = join(import.meta.dirname, '../../bin');

function podSplit(name: string): PodSplit {
  const spec = { pod: { name }, workload: { kind: 'StatefulSet', name: name.replace(/-\d$/, '') } };
  return { metadata: { name }, spec, status: { phase: 'Running' } } as PodSplit;
}

async function podsplit(args: readonly string[], answers = true) {
  let asked: unknown;
  const client = {
    list: (_: unknown, { namespace }: { namespace: string }) => {
      asked = { ...(asked as object), namespace };
      return Promise.resolve({
        items: [podSplit('web-0'), podSplit('we\u001bb'), podSplit('api-0'), podSplit('api-1')],
      });
    },
    close: () => undefined,
  };
  const { exitCode, stdout } = await ran(args, {
    stderr: (text) => {
      throw new Error(`nobody reads an error here: ${text}`);
    },
    connect: (options: ClusterOptions) => {
      asked = options;
      if (!answers) return Promise.reject(new Error('no cluster'));
      return Promise.resolve({ client: client as unknown as KubeClient, namespace: 'of-context' });
    },
  });
  expect(exitCode).to.equal(0);
  return { stdout, asked };
}

async function candidates(...words: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await podsplit(['__complete', ...words]);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t')[0] ?? '');
}

describe('kubectl podsplit completion', () => {
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-completion-'));
  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** These sources, whatever bundle bin/kubectl-podsplit would prefer. */
  function onPath() {
    const main = join(import.meta.dirname, 'main.ts');
    const script = `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`;
    writeFileSync(join(folder, 'kubectl-podsplit'), script, { mode: 0o755 });
    return { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` };
  }

  for (const shell of shells) {
    it(`prints a script for ${shell}`, async () => {
      const { stdout } = await podsplit(['completion', shell]);
      const file = join(testdata, `completion.${shell}`);
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, stdout);
      expect(stdout).to.equal(readFileSync(file, 'utf8'));
    });
  }

  it('has a script that bash runs, and that chooses what the program says', () => {
    const script = [
      `source "$1"`,
      `COMP_WORDS=(kubectl-podsplit status -o ""); COMP_CWORD=3`,
      `_kubectl_podsplit 2>&1; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ].join('\n');
    const printed = execFileSync('bash', ['-c', script, 'bash', join(testdata, 'completion.bash')], { env: onPath() });
    expect(printed.toString()).to.equal('table\nwide\njson\nyaml\n');
  });

  it('answers kubectl, by the executable that it looks for', () => {
    const printed = execFileSync(join(bin, 'kubectl_complete-podsplit'), ['sta'], { env: onPath() }).toString();
    expect(printed).to.match(/^status\t.+\n:4\n$/);
  });

  it('knows commands, options and their values', async () => {
    expect(await candidates('')).to.include.members([
      'split',
      'status',
      'flows',
      'policy',
      'logs',
      'exec',
      'completion',
    ]);
    expect(await candidates('st')).to.deep.equal(['status', ':4']);
    expect(await candidates('status', '--a')).to.deep.equal(['--all-namespaces', '--as', ':4']);
    expect(await candidates('flows', 'web-0', '-o', '')).to.include('policy');
    expect(await candidates('completion', 'z')).to.deep.equal(['zsh', ':4']);
    expect(await candidates('un')).to.deep.equal(['uninstall', ':4']);
    expect(await candidates('upgrade', '-o', '')).to.deep.equal(['yaml', 'json', ':4']);
    expect(await candidates('nothing', '')).to.deep.equal([':4']);
  });

  it('leaves files to the shell', async () => {
    expect(await candidates('split', '-f', '')).to.deep.equal([':0']);
    expect(await candidates('install', '--values', '')).to.deep.equal([':0']);
    expect(await candidates('exec', 'web-0', '--', 'l')).to.deep.equal([':0']);
    expect(await candidates('flows', '-n', '')).to.deep.equal([':4']);
  });

  it('knows the split Pods, of the namespace that was named', async () => {
    const { stdout, asked } = await podsplit(['__complete', 'flows', '-n', 'shop', '--context=prod', 'we']);
    expect(stdout).to.equal('web-0\tRunning\nwe?b\tRunning\n:4\n');
    expect(asked).to.include({ namespace: 'shop' });
    for (const verb of ['status', 'policy', 'logs', 'exec', 'debug']) {
      expect(await candidates(verb, 'a'), verb).to.deep.equal(['api-0', 'api-1', ':4']);
    }
    for (const verb of ['status', 'flows', 'policy', 'topology', 'logs']) {
      expect(await candidates(verb, 'st'), verb).to.deep.equal([
        'statefulset/web',
        'statefulset/we?b',
        'statefulset/api',
        ':4',
      ]);
    }
    expect(await candidates('status', 'web-0', '')).to.deep.equal([':4']);
  });

  it('asks the cluster that was named', async () => {
    const { asked } = await podsplit(
      ['__complete', 'flows', '--context=prod', '--kubeconfig', 'other', '--as', 'eve', 'w'],
      false,
    );
    expect(asked).to.deep.equal({ context: 'prod', kubeconfig: 'other', as: 'eve' });
  });

  it('says nothing where no cluster answers', async () => {
    expect((await podsplit(['__complete', 'flows', ''], false)).stdout).to.equal(':4\n');
  });
});
