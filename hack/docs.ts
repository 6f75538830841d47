/**
 * Writes the reference pages that are made from code: docs/refusals.md from the table of refusal codes and the golden
 * cases, docs/metrics.md from the metrics that controller and agent register. With --check it writes nothing and fails where a
 * page is not what the code says now.
 *
 *   node hack/docs.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isRecord } from '../controller/api/json.ts';
import { refusalCodes } from '../controller/api/refusal.ts';
import type { Registry } from 'prom-client';
import { createAgentMetrics } from '../controller/agent/agent-metrics.ts';
import { createMetrics } from '../controller/observability/metrics.ts';
import { corpus } from '../controller/split/testdata/corpus.ts';

const root = join(import.meta.dirname, '..');

const pages: Readonly<Record<string, () => string>> = {
  'docs/refusals.md': refusalsPage,
  'docs/metrics.md': metricsPage,
};

/** Names of the pages that are not what the code says. */
export function outdatedPages(): readonly string[] {
  return Object.entries(pages).flatMap(([page, text]) => (read(page) === text() ? [] : [page]));
}

function refusalsPage(): string {
  const examples = goldenRefusals();
  const sections = Object.entries(refusalCodes).map(([code, sentence]) => {
    const example = shortest(examples.filter((refusal) => refusal.endsWith(`(${code})`)));
    return [`## ${code}`, sentence, ...(example === undefined ? [] : [fenced(example)])].join('\n\n');
  });
  return `${[refusalsIntroduction, ...sections, runningJob].join('\n\n')}\n`;
}

const refusalsIntroduction = `# Refusals

<!-- Made by hack/docs.ts from controller/api/refusal.ts and controller/split/testdata. Do not edit. -->

A Pod that cannot be split is refused; nothing is ignored silently. The reasons are given together, each with the field,
what was read, what to do, and a code in parentheses. The codes are stable: metrics use them as labels, scripts may.

The same check runs in three places, with the same code:

- in the webhook, where the answer to \`kubectl apply\` or \`kubectl annotate\` carries the reasons;
- in the controller, which judges every Pod again before it is wired: the reasons are then in the condition
  \`podsplit.io/pieces-ready\` of the Pod, in its PodSplit and in an Event;
- in \`kubectl podsplit split\`, which prints them on stderr and exits non-zero.

Each example below is a refusal that the golden tests hold.`;

/** Not about a Pod, so it is not in the table: see admission/workloads.ts. */
const runningJob = `## RunningJob

From the webhook alone: the annotation of a running Job is changed, and its Pod template can not be. Annotate the Job
while it is suspended, or delete it and create it with the annotation.`;

/** Every refusal of the golden cases, as users read it. */
function goldenRefusals(): readonly string[] {
  return corpus().flatMap(({ golden }) => {
    const refusals = isRecord(golden) ? golden['refusals'] : undefined;
    return Array.isArray(refusals) ? refusals.map(String) : [];
  });
}

function shortest(texts: readonly string[]): string | undefined {
  return texts.toSorted((one, other) => one.length - other.length || (one < other ? -1 : 1))[0];
}

function fenced(text: string): string {
  return ['```text', text, '```'].join('\n');
}

function metricsPage(): string {
  const sections = [
    metricsIntroduction,
    metricsTable(createMetrics().registry),
    agentMetricsIntroduction,
    metricsTable(createAgentMetrics().registry),
  ];
  return `${sections.join('\n\n')}\n`;
}

function metricsTable(registry: Registry): string {
  const rows = registry
    .getMetricsAsArray()
    .map((metric) => [`\`${metric.name}\``, kindOf(metric), labelsOf(metric), metric.help])
    .toSorted(([one = ''], [other = '']) => (one < other ? -1 : 1));
  const lines = [['metric', 'type', 'labels', 'meaning'], ['---', '---', '---', '---'], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const metricsIntroduction = `# Metrics

<!-- Made by hack/docs.ts from controller/observability/metrics.ts and controller/agent/agent-metrics.ts. Do not edit. -->

Names and labels are an interface: they change with a note in the release.

## Controller

Each replica serves its own at port 8080, path \`/metrics\`. Those of the reconcilers move on the leader only.`;

const agentMetricsIntroduction = `## Node agent

Each agent serves those of its node at port 9471 of the node, path \`/metrics\`.`;

/** prom-client keeps type and labels of a metric in fields that its declarations leave out. */
function kindOf(metric: object): string {
  return metric.constructor.name.toLowerCase();
}

function labelsOf(metric: object): string {
  const names = 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames : [];
  return names
    .map(String)
    .filter((name) => name !== 'le')
    .map((name) => `\`${name}\``)
    .join(', ');
}

function read(page: string): string | undefined {
  try {
    return readFileSync(join(root, page), 'utf8');
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const outdated = outdatedPages();
  if (values.check) {
    for (const page of outdated) console.error(`${page} is not what the code says: run \`node hack/docs.ts\``);
    process.exitCode = outdated.length === 0 ? 0 : 1;
  } else {
    for (const page of outdated) {
      writeFileSync(join(root, page), pages[page]?.() ?? '');
      console.log(page);
    }
  }
}
