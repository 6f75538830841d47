import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { kubernetesVersion } from './cluster/modules.ts';

const root = join(import.meta.dirname, '..');

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** The version that a Go module of the embedded cluster is built from. */
function pinned(folder: string, module: string): string {
  const found = new RegExp(`\\b${module} v(\\S+)`).exec(read(`hack/cluster/go/${folder}/go.mod`))?.[1];
  if (found === undefined) throw new Error(`go/${folder} has no ${module}`);
  return found;
}

describe('docs/operations.md, supported versions', () => {
  const rows = new Map(
    [...read('docs/operations.md').matchAll(/^\| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(
      ([, what = '', needed, tested]) => [what, { needed, tested }],
    ),
  );
  const { major, minor, patch } = kubernetesVersion;
  const kubernetes = `${major}.${minor}.${patch}`;
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> };

  for (const [what, version] of [
    ['Kubernetes', kubernetes],
    ['kubectl, for kustomize', kubernetes],
    ['Multus', pinned('multus', 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4')],
    ['CNI plugins `bridge`, `static`, `tuning`', pinned('cni-plugins', 'github.com/containernetworking/plugins')],
    ['Helm, for the chart', pinned('helm', 'helm.sh/helm/v4')],
    ['Node.js, for `kubectl podsplit`', devDependencies['node'] ?? ''],
  ] as const) {
    it(`says of ${what} what the tests run`, () => {
      expect(rows.get(what)?.tested?.split(' ')[0]).to.equal(version);
    });
  }

  it('asks for the Kubernetes that the chart and make install ask for', () => {
    const oldest = /^1\.(\d+) or newer/.exec(rows.get('Kubernetes')?.needed ?? '')?.[1] ?? '';
    const { kubeVersion } = parse(read('deploy/chart/Chart.yaml')) as { readonly kubeVersion: string };
    expect(kubeVersion).to.equal(`>=1.${oldest}.0-0`);
    expect(read('hack/install.ts')).to.contain(`minorVersion() >= ${oldest}`);
    expect(read('README.md')).to.contain(`Kubernetes 1.${oldest} or newer`);
  });
});
