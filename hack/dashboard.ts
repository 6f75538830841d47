/**
 * Grafana's dashboard of what controller and agents export: rows of panels, each a question that an operator has. Writes
 * templates/optional/dashboard/podsplit.json, which the chart, kustomize and the CLI put into a ConfigMap, and which can be
 * imported by hand. With --check it writes nothing and fails where the file is not what stands here.
 *
 *   node hack/dashboard.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const file = join(import.meta.dirname, '../templates/optional/dashboard/podsplit.json');

interface Panel {
  readonly title: string;
  readonly description: string;
  readonly type?: 'timeseries' | 'stat';
  /** A unit of Grafana's list. */
  readonly unit?: string;
  /** From this value on the panel is red. */
  readonly redFrom?: number;
  /** Below this value the panel is red. */
  readonly redBelow?: number;
  /** Queries in PromQL, and how their series are called. */
  readonly queries: readonly (readonly [expression: string, legend: string])[];
}

interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** Of scraped Pods: what asks by annotations and what asks by a ServiceMonitor name a job differently, so no query does. */
const rows: readonly Row[] = [
  {
    title: 'Is it well?',
    panels: [
      {
        title: 'Replica that leads',
        description: 'One of the replicas reconciles. Without one, new Pods wait at their gate.',
        type: 'stat',
        redBelow: 1,
        queries: [['sum(podsplit_leader)', 'leads']],
      },
      {
        title: 'Refused split Pods',
        description: 'kubectl podsplit status -A says why, and what to do.',
        type: 'stat',
        redFrom: 1,
        queries: [['sum(podsplit_pods{phase="Refused"})', 'refused']],
      },
      {
        title: 'Webhook certificate',
        description: 'A serving certificate lasts a week and is renewed at two thirds of it.',
        type: 'stat',
        unit: 's',
        redBelow: 86_400,
        queries: [['min(podsplit_webhook_certificate_expiry_timestamp_seconds) - time()', 'left']],
      },
      {
        title: 'Rules repaired in the last hour',
        description: 'Somebody with root on a node had changed them: find out who.',
        type: 'stat',
        redFrom: 1,
        queries: [['sum(increase(podsplit_agent_repairs_total[1h]))', 'repairs']],
      },
      {
        title: 'Pieces that their agent cannot read',
        description: 'Left by another version, before a rollback: their rules stay as they are.',
        type: 'stat',
        redFrom: 1,
        queries: [['sum(podsplit_agent_unread_sandboxes)', 'pieces']],
      },
      {
        title: 'New pieces with programs before the filter',
        description: "tc filters on the node's end of eth0 see frames before podsplit does.",
        type: 'stat',
        redFrom: 1,
        queries: [['sum(increase(podsplit_agent_eth0_passed_around_total[1d]))', 'pieces']],
      },
    ],
  },
  {
    title: 'What was denied',
    panels: [
      {
        title: 'Denied packets by rule',
        description: 'docs/operations.md has what each counter counts; kubectl podsplit flows POD has who tried whom.',
        unit: 'pps',
        queries: [['sum by (counter) (rate(podsplit_agent_denied_packets_total[$__rate_interval]))', '{{counter}}']],
      },
      {
        title: 'Denied packets by agent',
        description: 'On which nodes it was tried.',
        unit: 'pps',
        queries: [
          ['topk(10, sum by (instance) (rate(podsplit_agent_denied_packets_total[$__rate_interval])))', '{{instance}}'],
        ],
      },
    ],
  },
  {
    title: 'Split Pods',
    panels: [
      {
        title: 'Split Pods by phase',
        description: 'Of their PodSplits.',
        queries: [['sum by (phase) (podsplit_pods)', '{{phase}}']],
      },
      {
        title: 'Pieces by agent',
        description: 'Sandboxes whose rules it keeps.',
        queries: [['podsplit_agent_sandboxes', '{{instance}}']],
      },
      {
        title: 'From admission until the pieces may start',
        description: 'What wiring adds to the start of a Pod.',
        unit: 's',
        queries: quantiles('podsplit_wiring_seconds'),
      },
      {
        title: 'From a changed flow until it is enforced',
        description: 'On each node, in the tables of all pieces of the Pod.',
        unit: 's',
        queries: quantiles('podsplit_agent_rewire_duration_seconds'),
      },
    ],
  },
  {
    title: 'Admission',
    panels: [
      {
        title: 'Reviews by decision',
        description: 'error is a mistake in podsplit; refused has the code of the refusal in the next panel.',
        unit: 'reqps',
        queries: [
          [
            'sum by (endpoint, decision) (rate(podsplit_admission_requests_total[$__rate_interval]))',
            '{{endpoint}} {{decision}}',
          ],
        ],
      },
      {
        title: 'Refusals by code',
        description: 'docs/refusals.md has an example of each.',
        unit: 'reqps',
        queries: [
          ['sum by (code) (rate(podsplit_admission_requests_total{decision="refused"}[$__rate_interval]))', '{{code}}'],
        ],
      },
      {
        title: 'Time of a review',
        description: 'The API server waits for it whenever an annotated Pod is made.',
        unit: 's',
        queries: quantiles('podsplit_admission_duration_seconds'),
      },
    ],
  },
  {
    title: 'Node agents',
    panels: [
      {
        title: 'Calls of the plugin by result',
        description: 'ok, or the code of what was refused: docs/operations.md has each.',
        unit: 'reqps',
        queries: [
          [
            'sum by (command, result) (rate(podsplit_agent_cni_duration_seconds_count[$__rate_interval]))',
            '{{command}} {{result}}',
          ],
        ],
      },
      {
        title: 'Time of a call',
        description: 'The kubelet waits for it when a sandbox is made.',
        unit: 's',
        queries: quantiles('podsplit_agent_cni_duration_seconds', 'command'),
      },
    ],
  },
  {
    title: 'Controller at work',
    panels: [
      {
        title: 'Reconciles by result',
        description: 'Of the replica that leads.',
        unit: 'ops',
        queries: [
          [
            'sum by (controller, result) (rate(podsplit_reconcile_duration_seconds_count[$__rate_interval]))',
            '{{controller}} {{result}}',
          ],
        ],
      },
      {
        title: 'Keys that wait for a worker',
        description: 'More than a few for long: PODSPLIT_WORKERS, or an API server that is slow.',
        queries: [['sum by (controller) (podsplit_queue_depth)', '{{controller}}']],
      },
      {
        title: 'Wait for a worker',
        description: 'From when a key falls due.',
        unit: 's',
        queries: quantiles('podsplit_queue_wait_seconds', 'controller'),
      },
      {
        title: 'Failures of watches',
        description:
          'Handler is a mistake in podsplit; others are the API server that did not answer, or did not allow it.',
        unit: 'ops',
        queries: [
          ['sum by (resource, code) (rate(podsplit_watch_failures_total[$__rate_interval]))', '{{resource}} {{code}}'],
        ],
      },
      {
        title: 'Events that were not told',
        description: 'Dropped because there were too many, or refused by the API server.',
        unit: 'ops',
        queries: [
          [
            'sum by (result) (rate(podsplit_events_total{result=~"dropped|failed"}[$__rate_interval]))',
            'controller: {{result}}',
          ],
          [
            'sum by (result) (rate(podsplit_agent_events_total{result=~"dropped|failed"}[$__rate_interval]))',
            'agents: {{result}}',
          ],
        ],
      },
      {
        title: 'Memory',
        description: 'Of controllers and agents.',
        unit: 'bytes',
        queries: [
          ['process_resident_memory_bytes and on (instance) podsplit_leader', 'controller {{instance}}'],
          ['process_resident_memory_bytes and on (instance) podsplit_agent_sandboxes', 'agent {{instance}}'],
        ],
      },
    ],
  },
];

function quantiles(histogram: string, by?: string): Panel['queries'] {
  const labels = by === undefined ? 'le' : `${by}, le`;
  const of = by === undefined ? '' : ` {{${by}}}`;
  return [0.5, 0.99].map((q): [string, string] => [
    `histogram_quantile(${q}, sum by (${labels}) (rate(${histogram}_bucket[$__rate_interval])))`,
    `p${q * 100}${of}`,
  ]);
}

/** All queries, for the test that each metric in them is one that is exported. */
export const dashboardQueries: readonly string[] = rows.flatMap(({ panels }) =>
  panels.flatMap(({ queries }) => queries.map(([expression]) => expression)),
);

/** Panels of a row stand side by side, at most three. Grafana's grid has 24 columns. */
export function dashboard(): object {
  const panels: object[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
    });
    y += 1;
    const stats = row.panels.every(({ type }) => type === 'stat');
    const [across, h] = stats ? [6, 4] : [Math.min(row.panels.length, 3), 8];
    for (const [index, panel] of row.panels.entries()) {
      const w = 24 / across;
      const gridPos = { x: (index % across) * w, y: y + Math.floor(index / across) * h, w, h };
      panels.push({ id: panels.length + 1, ...panelJson(panel), gridPos });
    }
    y += Math.ceil(row.panels.length / across) * h;
  }
  return {
    uid: 'podsplit',
    title: 'podsplit',
    description: 'Made by hack/dashboard.ts.',
    tags: ['podsplit'],
    schemaVersion: 39,
    editable: true,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Prometheus' }] },
    panels,
  };
}

function panelJson({ title, description, type = 'timeseries', unit = 'short', queries, ...limits }: Panel): object {
  const datasource = { type: 'prometheus', uid: '${datasource}' };
  return {
    type,
    title,
    description,
    datasource,
    fieldConfig: { defaults: { unit, min: 0, ...thresholds(limits) }, overrides: [] },
    options:
      type === 'stat'
        ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'background' }
        : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource,
      expr,
      legendFormat,
    })),
  };
}

function thresholds({ redFrom, redBelow }: Pick<Panel, 'redFrom' | 'redBelow'>): object {
  const [first, then, value] = redBelow === undefined ? ['green', 'red', redFrom] : ['red', 'green', redBelow];
  if (value === undefined) return {};
  // Grafana's first step has no lower bound.
  const steps = [
    { color: first, value: null },
    { color: then, value },
  ];
  return { thresholds: { mode: 'absolute', steps } };
}

export function dashboardIsOutdated(): boolean {
  return readFileSync(file, 'utf8') !== text();
}

function text(): string {
  return `${JSON.stringify(dashboard(), undefined, 2)}\n`;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  if (!values.check) writeFileSync(file, text());
  else if (dashboardIsOutdated()) {
    console.error('templates/optional/dashboard/podsplit.json is not what hack/dashboard.ts says: make manifests');
    process.exitCode = 1;
  }
}
