import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';

/** One file of crds/ or templates/. */
export interface SourceFile {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
}

const folders = [
  'crds',
  'templates',
  'templates/optional/service-monitor',
  'templates/optional/network-policy',
  'templates/optional/network-policy-metrics',
  'templates/optional/dashboard',
];

/** What podsplit is on a cluster: bundled into the CLI by hack/build.ts, else read from the repository. */
export function manifestSources(): readonly SourceFile[] {
  const bundled = process.env['PODSPLIT_MANIFESTS'];
  if (bundled !== undefined) return JSON.parse(bundled) as readonly SourceFile[];
  return readSources(join(import.meta.dirname, '../..'));
}

/** CRDs first: the guards behind them name their kinds. */
export function readSources(repository: string): readonly SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(repository, folder))
      .filter((name) => /\.(yaml|json)$/.test(name) && name !== 'kustomization.yaml')
      .sort()
      .map((name): SourceFile => {
        const text = readFileSync(join(repository, folder, name), 'utf8');
        return name.endsWith('.json')
          ? { path: `${folder}/${name.replace(/json$/, 'yaml')}`, text: dashboardConfigMap(name, text) }
          : { path: `${folder}/${name}`, text };
      }),
  );
}

/** Grafana's sidecar finds dashboards in ConfigMaps by a label; this one is what it looks for by default. */
function dashboardConfigMap(file: string, dashboard: string): string {
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'podsplit-dashboard',
        namespace: 'podsplit-system',
        labels: { 'app.kubernetes.io/name': 'podsplit', grafana_dashboard: '1' },
      },
      data: { [file]: dashboard },
    },
    { lineWidth: 0 },
  );
}
