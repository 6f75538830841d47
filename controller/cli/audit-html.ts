import { createHash } from 'node:crypto';
import type { ContainerAudit, ModeAudit } from '../audit/audit-pod.ts';
import { type Effect, type Finding, severities, type Severity } from '../audit/finding.ts';
import { type AuditReport, openCounts, type WorkloadAudit } from '../audit/report.ts';
import { channels, listOf, rules } from '../audit/rules.ts';
import type { Technique } from '../audit/techniques.ts';
import { pageScript } from './audit-page-script.ts';
import { pageStyle } from './audit-page-style.ts';
import { remains, topology } from './audit-topology.ts';
import { type Content, type Markup, markup, raw } from './markup.ts';

/**
 * One file that needs no other: a page that a browser opens from a disk without asking anybody. Its policy says so, and lets
 * run the one script and the one style that are in it.
 */
export function formatHtml(report: AuditReport): string {
  const policy = [
    "default-src 'none'",
    `style-src '${hashOf(pageStyle)}'`,
    `script-src '${hashOf(pageScript)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const { markup: page } = markup`<!doctype html>
<html lang="en" data-view="now">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${`Containers against containers: ${report.made.from}`}</title>
<style>${raw(pageStyle)}</style>
</head>
<body>
<a class="skip" href="#workloads">To the workloads</a>
${head(report)}
<main>
${filters(report)}
${heatMap(report)}
<h2 id="workloads" tabindex="-1">Workloads</h2>
${report.workloads.map((row, index) => workload(row, `w${index + 1}`))}
${unreadable(report)}
${reference(report)}
</main>
${arrows}
<script>${raw(pageScript)}</script>
</body>
</html>
`;
  return page;
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

function head({ made, summary }: AuditReport): Markup {
  const left = [
    ...(summary.single > 0 ? [`${summary.single} Pods with one container`] : []),
    ...(summary.windows > 0 ? [`${summary.windows} Windows Pods`] : []),
  ];
  return markup`<header>
<div class="top"><div><h1>Which container could do what to which other</h1>
<p class="quiet">${made.from}. Made by ${made.by} on <time datetime="${made.at}">${made.at}</time>.</p></div>
<button type="button" id="theme" hidden>Theme: <span>system</span></button></div>
<p>A Pod is one trust domain: whoever takes over one of its containers has what this page lists. Each finding says what the
modes of podsplit would do about it, were the workload annotated and nothing else changed.</p>
<ul class="tiles">
<li><b>${summary.workloads}</b>workloads</li><li><b>${summary.pods}</b>Pods</li>
${severities.map((severity) => markup`<li><b>${summary.open[severity]}</b><span class="chip" data-level="${severity}">${severity}</span> open</li>`)}
${summary.closed > 0 ? markup`<li><b>${summary.closed}</b>closed by the mode in force</li>` : ''}
</ul>
${left.length > 0 ? markup`<p class="quiet">Left out: ${listOf(left)}.</p>` : ''}
${made.without.length > 0 ? markup`<p>Could not be read, so that the answer is less exact: ${listOf(made.without)}.</p>` : ''}
</header>`;
}

/** Shown by the script, without which they would do nothing. */
function filters({ workloads }: AuditReport): Markup {
  const namespaces = [...new Set(workloads.map(({ namespace }) => namespace))].toSorted();
  const radio = (name: string, value: string, text: string, first: boolean): Markup =>
    markup`<label><input type="radio" name="${name}" value="${value}"${first ? raw(' checked') : ''}> ${text}</label>`;
  return markup`<div class="filters" role="search" aria-label="Filter" hidden>
<fieldset><legend>Show</legend>${radio('view', 'now', 'as the Pods run', true)}${radio('view', 'isolate', 'what isolate would leave', false)}${radio('view', 'split', 'what split would leave', false)}</fieldset>
<fieldset><legend>Severity</legend>${severities.map((severity) => markup`<label><input type="checkbox" name="severity" value="${severity}" checked> ${severity}</label>`)}</fieldset>
<fieldset><legend>Matrix</legend>${radio('matrix', '', 'both', true)}${radio('matrix', 'Microsoft', 'Microsoft', false)}${radio('matrix', 'MITRE', 'MITRE ATT&CK', false)}</fieldset>
<label class="named">By way of<select id="channel"><option value="">everything</option>${channels.map((channel) => markup`<option>${channel}</option>`)}</select></label>
${namespaces.length > 1 ? markup`<label class="named">Namespace<select id="namespace"><option value="">all</option>${namespaces.map((namespace) => markup`<option>${namespace}</option>`)}</select></label>` : ''}
<label class="named">Words<input type="search" id="words" placeholder="container, field, rule"></label>
<p id="shown" role="status"></p>
</div>`;
}

function heatMap({ workloads, techniques }: AuditReport): Markup {
  if (workloads.length === 0) return markup`<p>No Pod with several containers was found.</p>`;
  const matrices = ['Microsoft', 'MITRE'] as const;
  const columns = matrices.flatMap((matrix) => techniques.filter((technique) => technique.matrix === matrix));
  const titles = { Microsoft: 'Threat matrix for Kubernetes', MITRE: 'MITRE ATT&CK' };
  const groups = matrices.map((matrix) => ({
    matrix,
    count: columns.filter((column) => column.matrix === matrix).length,
  }));
  return markup`<h2 id="matrix">Matrix</h2>
<div class="scroll" role="region" aria-labelledby="matrix" tabindex="0"><table class="heat">
<caption>Findings by workload and technique. The colour is that of the gravest one.</caption>
<thead><tr><td rowspan="2"></td>${groups.filter(({ count }) => count > 0).map(({ matrix, count }) => markup`<th colspan="${count}" scope="colgroup" data-matrix="${matrix}">${titles[matrix]}</th>`)}</tr>
<tr>${columns.map((column) => markup`<th scope="col" class="technique" data-matrix="${column.matrix}">${techniqueLink(column, `${column.id} ${column.name}`)}</th>`)}</tr></thead>
<tbody>${workloads.map((row, index) => heatRow(row, `w${index + 1}`, columns))}</tbody>
</table></div>`;
}

function heatRow(row: WorkloadAudit, id: string, columns: readonly Technique[]): Markup {
  const open = row.findings.filter((finding) => remains(finding, 'now'));
  return markup`<tr id="heat-${id}"><th scope="row"><a href="#${id}">${row.id}</a></th>${columns.map((column) => {
    const found = open.filter(({ techniques }) => techniques.includes(column.id));
    const worst = severities.find((severity) => found.some((finding) => finding.severity === severity));
    return markup`<td data-matrix="${column.matrix}" data-workload="${id}" data-technique="${column.id}" data-level="${worst ?? 'none'}"><a href="#${id}"${worst === undefined ? raw(' tabindex="-1"') : ''}><span>${worst === undefined ? '' : found.length}</span><span class="said">${worst === undefined ? 'none' : ` ${worst}`}</span></a></td>`;
  })}</tr>
`;
}

function techniqueLink({ url }: Technique, text: string): Markup {
  return markup`<a href="${url}" rel="noreferrer">${text}</a>`;
}

function workload(row: WorkloadAudit, id: string): Markup {
  const counts = openCounts(row);
  const words = [row.id, ...row.containers.flatMap(({ name, image }) => [name, image])].join(' ').toLowerCase();
  return markup`<details class="workload" id="${id}" data-namespace="${row.namespace}" data-words="${words}">
<summary><h3>${row.id}</h3> ${severities.filter((severity) => counts[severity] > 0).map((severity) => markup`${chip(severity, `${counts[severity]} ${severity}`)} `)}<span class="quiet">${row.pods} ${row.pods === 1 ? 'Pod' : 'Pods'}, ${{ none: 'whole', isolate: 'isolated', split: 'split' }[row.mode]}. Isolate ${verdict(row.isolate)}. Split ${verdict(row.split)}.</span></summary>
<div class="body">
${row.notes.length > 0 ? markup`<ul>${row.notes.map((note) => markup`<li>${note}</li>`)}</ul>` : ''}
<div class="pair"><div>${containers(row)}</div>${topology({ ...row, id: id })}</div>
<div class="pair">${modeCard('isolate', row.isolate, 'One Pod, whose containers are told apart by their users.')}${modeCard('split', row.split, `${row.split.primary} is the primary; ${listOf(row.split.siblings)} ${row.split.siblings.length === 1 ? 'is a sibling' : 'are siblings'}.`)}</div>
<h4>Findings</h4>
<div class="scroll" role="region" aria-label="${`Findings of ${row.id}`}" tabindex="0"><table class="findings">
<thead><tr><th scope="col">Severity</th><th scope="col">What</th><th scope="col">Why</th><th scope="col">Techniques</th>${row.mode === 'none' ? '' : markup`<th scope="col">Now</th>`}<th scope="col">Isolate</th><th scope="col">Split</th></tr></thead>
<tbody>${row.findings.map((finding) => findingRow(finding, row.mode !== 'none'))}</tbody>
</table></div>
</div>
</details>
`;
}

function verdict({ verdict: said, effects }: ModeAudit): string {
  if (said === 'refused') return 'refuses it';
  return `closes ${effects.closed}, lessens ${effects.lessened}, leaves ${effects.stays}`;
}

function chip(severity: Severity, text: string): Markup {
  return markup`<span class="chip" data-level="${severity}">${text}</span>`;
}

function containers(row: WorkloadAudit): Markup {
  const kinds: Readonly<Record<ContainerAudit['kind'], string>> = {
    container: 'container',
    sidecar: 'native sidecar',
    init: 'init container',
  };
  return markup`<div class="scroll" role="region" aria-label="${`Containers of ${row.id}`}" tabindex="0"><table><caption>Containers of ${row.example}</caption>
<thead><tr><th scope="col">Name</th><th scope="col">Kind</th><th scope="col">User</th><th scope="col">Ports</th><th scope="col">Image</th></tr></thead>
<tbody>${row.containers.map(({ name, kind, user, ports, image }) => markup`<tr><th scope="row">${name}</th><td>${kinds[kind]}</td><td>${user}</td><td>${ports.join(', ')}</td><td><code>${image}</code></td></tr>`)}</tbody></table></div>`;
}

function modeCard(name: string, mode: ModeAudit, how: string): Markup {
  const items = (content: readonly Content[]): Markup =>
    markup`<ul>${content.map((each) => markup`<li>${each}</li>`)}</ul>`;
  const refused = mode.refusals.map(
    ({ path, message, action, code }) => markup`<code>${path}</code>: ${message} ${action} (${code})`,
  );
  const changes = mode.changes.map(
    ({ path, message, code }) => markup`${message} <span class="quiet">(${code}, <code>${path}</code>)</span>`,
  );
  return markup`<section class="card"><h4>${`Mode ${name}`}</h4>
${mode.verdict === 'refused' ? markup`<p>Refused as the Pod is written:</p>${items(refused)}` : markup`<p>${how} It ${verdict(mode)}.</p><h5>What changes</h5>${items(changes)}`}
<h5>Flows that stay open</h5>${mode.flows.length === 0 ? markup`<p>None.</p>` : items(mode.flows.map((flow) => markup`<code>${flow}</code>`))}</section>`;
}

function findingRow(finding: Finding, inForce: boolean): Markup {
  const { severity, rule, message, evidence, techniques, isolate, split, now } = finding;
  return markup`<tr class="finding" data-severity="${severity}" data-channel="${rules[rule].channel}" data-techniques="${techniques.join(' ')}" data-now="${now}" data-isolate="${isolate.effect}" data-split="${split.effect}"><td>${chip(severity, severity)}</td><td class="what"><b>${rules[rule].title}</b> <span class="quiet">${rule}</span><br>${message}</td><td class="why">${evidence.map(({ path, says }) => markup`<code>${path}</code> ${says}<br>`)}</td><td>${techniques.map((id) => markup`<a href="#${techniqueId(id)}">${id}</a> `)}</td>${inForce ? markup`<td>${now}</td>` : ''}${effectCell(isolate)}${effectCell(split)}</tr>
`;
}

function effectCell({ effect, reason }: Effect): Markup {
  return markup`<td><span class="effect" data-effect="${effect}">${effect}</span><br>${reason}</td>`;
}

function unreadable({ unreadable: objects }: AuditReport): Markup {
  if (objects.length === 0) return markup``;
  return markup`<h2>Not judged</h2><p>An API server would not take these.</p><ul>${objects.map(({ kind, name, reasons }) => markup`<li>${kind} ${name}: ${reasons.join('; ')}</li>`)}</ul>`;
}

function techniqueId(id: string): string {
  return `technique-${id}`;
}

function reference({ rules: used, techniques }: AuditReport): Markup {
  return markup`<h2>What the rules mean</h2>
<dl>${used.map(({ id, title, about }) => markup`<dt><b>${title}</b> <span class="quiet">${id}</span></dt><dd>${about}</dd>`)}</dl>
<h2>Techniques</h2>
<ul>${techniques.map((technique) => markup`<li id="${techniqueId(technique.id)}">${techniqueLink(technique, technique.id)} ${technique.name} <span class="quiet">(${technique.tactics.join(', ')})</span></li>`)}</ul>
<h2>What this page does not know</h2>
<ul><li>What a program does: whether a server asks for a password, or what it listens on without declaring it.</li>
<li>What RBAC gives the ServiceAccount, and a cloud the node.</li>
<li>Whether the cluster's network enforces NetworkPolicies, and what ContainerNetworkPolicies close: <code>kubectl podsplit policy POD</code> tells.</li>
<li>Ways out of a container by faults of the kernel or the runtime.</li></ul>`;
}

const arrows = markup`<svg width="0" height="0" aria-hidden="true" focusable="false"><defs>${severities.map((severity) => markup`<marker id="arrow-${severity}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z"/></marker>`)}</defs></svg>`;
