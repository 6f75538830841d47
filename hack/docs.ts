/**
 * Writes the reference pages that are made from code: docs/refusals.md from the table of refusal codes and the golden
 * cases, docs/metrics.md from the metrics that controller and agent register, docs/audit.md and docs/audit.schema.json from the
 * rules of the audit and the shape of its report, docs/checks.md from the checks of `kubectl podsplit check`, docs/attacks.md
 * from the attacks of e2e/attacks and the run of them that docs/attacks.json records. With --check it writes nothing and
 * fails where a page is not what the code says now.
 *
 *   node hack/docs.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isRecord } from '../controller/api/json.ts';
import { refusalCodes } from '../controller/api/refusal.ts';
import { channels, ruleIds, rules, type Rule } from '../controller/audit/rules.ts';
import { reportSchema } from '../controller/audit/schema.ts';
import { techniqueOf } from '../controller/audit/techniques.ts';
import type { Registry } from 'prom-client';
import { createAgentMetrics } from '../controller/agent/agent-metrics.ts';
import { createMetrics } from '../controller/observability/metrics.ts';
import { clusterChecks, podsplitChecks } from '../controller/cli/check-report.ts';
import type { Check } from '../controller/cli/check-outcome.ts';
import { attacksPage } from './attacks-page.ts';
import { corpus } from '../controller/split/testdata/corpus.ts';

const root = join(import.meta.dirname, '..');

const pages: Readonly<Record<string, () => string>> = {
  'docs/refusals.md': refusalsPage,
  'docs/metrics.md': metricsPage,
  'docs/checks.md': checksPage,
  'docs/audit.md': auditPage,
  'docs/attacks.md': attacksPage,
  'docs/audit.schema.json': () => `${JSON.stringify(reportSchema, undefined, 2)}\n`,
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
  return `${[refusalsIntroduction, ...sections, runningJob, namespaceNotSeen].join('\n\n')}\n`;
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

What [guards](guards.md) ask is asked at admission only; \`MissingResources\` comes also from the policy \`podsplit-resources\`, in one line.

Each example below is a refusal that the golden tests hold.`;

/** Not about a Pod, so it is not in the table: see admission/workloads.ts. */
const runningJob = `## RunningJob

From the webhook alone: the annotation of a running Job is changed, and its Pod template can not be. Annotate the Job
while it is suspended, or delete it and create it with the annotation.`;

/** Not about a Pod either: see admission/namespaces.ts. */
const namespaceNotSeen = `## NamespaceNotSeen

From the webhook alone: podsplit has not seen the namespace, or the label that opts in its Pods, yet, or has heard nothing of
namespaces for 90 seconds. Whoever makes the Pod tries again; by hand, try again.`;

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

function checksPage(): string {
  const sections = [
    checksIntroduction,
    '## Of the cluster',
    checksTable(clusterChecks),
    '## Of podsplit',
    'Left out before it is installed.',
    checksTable(podsplitChecks),
  ];
  return `${sections.join('\n\n')}\n`;
}

function checksTable(checks: readonly Check[]): string {
  const rows = checks.map(({ id, why }) => `| \`${id}\` | ${why} |`);
  return ['| check | why it matters |', '| --- | --- |', ...rows].join('\n');
}

const checksIntroduction = `# Checks

<!-- Made by hack/docs.ts from controller/cli/check-report.ts. Do not edit. -->

\`kubectl podsplit check\` reads a cluster, before podsplit is installed and after, and says of each matter below whether it is
well, and how to mend what is not. It changes nothing.

| level | meaning |
| --- | --- |
| \`ok\` | as it should be |
| \`warning\` | podsplit works; something is less safe, less sure, or will be in the way |
| \`problem\` | Pods that opt in do not start, or are not kept apart as they should be |
| \`unknown\` | the API does not tell, or you may not read it; it fails nothing |

Exit code: 0 if there is no problem, 1 if there is one, 2 if nobody answered. \`-o wide\` has the reason of each line; \`-o json\`
and \`-o yaml\` are an interface: \`server\`, \`at\`, \`version\` (of the plugin), \`installed\`, \`summary\` (how many of each level)
and \`checks\`, each with \`group\`, \`check\`, \`level\`, \`what\`, \`why\` and, where there is something to do, \`mend\`. A check may
have several lines. Names and levels are stable, the words are not.

What nodes have is not in the API: of kernels and CNI plugins the Pods that run there tell, and Events of the last hour about
sandboxes that could not be made. The Secret of the webhook's certificate is read for when that ends. A cluster
administrator sees all; the role view, bound for all namespaces, shows the first part but for nodes and webhooks.`;

function auditPage(): string {
  const sections = channels.map((channel) => {
    const ids = ruleIds.filter((id) => rules[id].channel === channel);
    return [`### By way of ${channel}`, ...ids.flatMap((id) => ruleSection(id, rules[id]))].join('\n\n');
  });
  return `${[auditIntroduction, ...sections, auditOutputs].join('\n\n')}\n`;
}

function ruleSection(id: string, { title, about, severities, techniques }: Rule): readonly string[] {
  const named = techniques.map(techniqueOf).map(({ id: technique, name, url }) => `[${technique}](${url}) ${name}`);
  return [`#### ${id}`, `${title}. ${about}`, `Severity: ${severities.join(', ')}. Techniques: ${named.join(', ')}.`];
}

const auditIntroduction = `# Audit

<!-- Made by hack/docs.ts from controller/audit. Do not edit. -->

\`kubectl podsplit audit\` reads a cluster, or manifests with \`-f\`, and says of every Pod with several containers which of
them could do what to which other if it were taken over, by which field that is so, what the modes \`isolate\` and
\`split\` would do about it, and what a split would refuse or change. It needs no podsplit on the cluster, changes nothing and
sends nothing anywhere.

    kubectl podsplit audit                                  # a line for each workload of the namespace, the gravest first
    kubectl podsplit audit -A -o html > audit.html          # a page that needs no other file, to hand on
    kubectl podsplit audit -f web.yaml -o wide              # every finding, before anything is applied
    kubectl podsplit audit -f deploy.yaml -o sarif --fail-on high   # for code scanning

Exit code: 0; 1 if \`--fail-on SEVERITY\` is given and such a finding, or a worse one, is open or only lessened; 2 if the command
or its input could not be read, or nobody answered.

## How to read it

- **Assumed** is what [docs/security.md](security.md) assumes: one container is fully compromised, as its user and with its
  capabilities, without an escape to the host by a fault of the kernel. Who does not say which user it runs as is taken for root.
- **Findings** have an actor, one container, and victims: other containers, the node, other Pods, the API server, the outside.
  Native sidecars are containers. Init containers are judged for what outlasts them: files that they leave, the node, the
  network namespace, the token.
- **Effects** are those of a mode, were the workload annotated with it and nothing else changed: \`closed\`, \`lessened\` (some of it
  remains, the reason says what), \`stays\`, and \`refused\` (the mode does not take the Pod while this is so). Annotations that
  are there count: \`podsplit.io/flows\`, \`egress-via\`, \`ingress-via\`, \`install\`,
  \`token\`, \`guards\`; and so does the label \`podsplit.io/guards\` of the namespace. Of a Pod that a mode refuses, the effects are those
  it would have with what is refused corrected.
- **Now**: a Pod that runs split or isolated is judged by its whole, and its findings are open, lessened or closed by that mode.
  A manifest that is annotated, or whose namespace has the label \`podsplit.io/mode\`, is taken for what would become of it. So the
  audit says what a label would change before it is set, and which Pods were made before it.
- **Rows**: Pods of one workload that are alike are one row; while a rollout goes on there are two.
- **Techniques** are those of Microsoft's [threat matrix for Kubernetes](https://microsoft.github.io/Threat-Matrix-for-Kubernetes/)
  and of MITRE ATT&CK for Enterprise 18.1: of its matrix Containers where it has the technique, else of Linux or IaaS.

What it cannot know: what a program does, for instance whether a server asks for a password; what RBAC gives a ServiceAccount
and a cloud its nodes; whether the cluster's network enforces NetworkPolicies; what ContainerNetworkPolicies close
(\`kubectl podsplit policy POD\` tells); what an image's user is, and what a LimitRange will add to a manifest.

## Rules

Their ids are stable, as refusal codes are.`;

const auditOutputs = `## Outputs

| \`-o\` | what |
| --- | --- |
| \`table\`, \`wide\` | a line for each workload; with \`wide\` its containers, what each mode refuses or changes, and all findings. Colours obey \`NO_COLOR\` and pipes |
| \`json\`, \`yaml\` | the whole report: \`apiVersion: audit.podsplit.io/v1alpha1\`, \`kind: AuditReport\`. [audit.schema.json](audit.schema.json) is its JSON Schema; within a version fields are added, and none is taken away or changed |
| \`sarif\` | SARIF 2.1.0, with the line of the field where files were read, \`security-severity\` for code scanning, both matrices as taxonomies, and fingerprints that stay when lines move. What the mode in force closes is of kind \`pass\` |
| \`html\` | one page: the matrix, the topology and the findings of each workload, filters, light and dark. It loads nothing and runs the one script in it, as its Content-Security-Policy says; it can be read without scripts and printed |`;

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
