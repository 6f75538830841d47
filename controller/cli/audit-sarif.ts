import { createHash } from 'node:crypto';
import type { Finding, Severity } from '../audit/finding.ts';
import type { Audit, AuditReport, WorkloadAudit } from '../audit/report.ts';
import { nameOfVictim, type RuleId } from '../audit/rules.ts';
import type { Technique } from '../audit/techniques.ts';
import { version } from '../version.ts';
import type { Manifest, Origin } from './input.ts';
import { lineFinder } from './manifest-yaml.ts';

/** OASIS SARIF 2.1.0. */
const schema = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

const levels: Readonly<Record<Severity, 'error' | 'warning' | 'note'>> = {
  critical: 'error',
  high: 'error',
  medium: 'warning',
  low: 'note',
};

/** As code-scanning services rank results: the scale is CVSS's. */
const scores: Readonly<Record<Severity, string>> = { critical: '9.5', high: '8.0', medium: '5.5', low: '2.0' };

const taxonomies: Readonly<Record<Technique['matrix'], { readonly name: string; readonly organization: string }>> = {
  Microsoft: { name: 'Threat Matrix for Kubernetes', organization: 'Microsoft' },
  MITRE: { name: 'MITRE ATT&CK', organization: 'MITRE' },
};

/**
 * Results stand at the line of the field that they come from, where manifests were read.
 *
 * @param manifests in the order of the origins; none where a cluster was read
 */
export function formatSarif({ report, origins }: Audit, manifests: readonly Manifest[]): object {
  const line = lines();
  const worst = worstOfRules(report.workloads);
  const results = report.workloads.flatMap((row) =>
    row.findings.map((finding) =>
      resultOf(row, finding, { report, place: placeOf(manifests[origins.get(row.id) ?? 0]), line }),
    ),
  );
  return {
    $schema: schema,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'kubectl podsplit audit',
            version,
            rules: report.rules.map(({ id, title, about, channel }) => ({
              id,
              name: id,
              shortDescription: { text: title },
              fullDescription: { text: about },
              defaultConfiguration: { level: levels[worst.get(id) ?? 'low'] },
              properties: { tags: ['security', channel], 'security-severity': scores[worst.get(id) ?? 'low'] },
            })),
            supportedTaxonomies: Object.values(taxonomies).map(({ name }) => ({ name })),
          },
        },
        taxonomies: Object.entries(taxonomies).map(([matrix, { name, organization }]) => ({
          name,
          organization,
          taxa: report.techniques
            .filter((technique) => technique.matrix === matrix)
            .map(({ id, name: taxon, url }) => ({ id, name: taxon, helpUri: url, shortDescription: { text: taxon } })),
        })),
        columnKind: 'utf16CodeUnits',
        results,
      },
    ],
  };
}

/** A rule has one rank there, and findings of their own: the gravest of this run. */
function worstOfRules(workloads: readonly WorkloadAudit[]): ReadonlyMap<RuleId, Severity> {
  const worst = new Map<RuleId, Severity>();
  for (const { rule, severity } of workloads.flatMap(({ findings }) => findings)) {
    const known = worst.get(rule);
    if (known === undefined || Number(scores[severity]) > Number(scores[known])) worst.set(rule, severity);
  }
  return worst;
}

interface Placing {
  readonly report: AuditReport;
  readonly place: Origin | undefined;
  readonly line: (origin: Origin, path: string) => number;
}

function resultOf(row: WorkloadAudit, finding: Finding, { report, place, line }: Placing): object {
  const { rule, severity, actor, message, techniques, evidence, isolate, split, now } = finding;
  const [first] = evidence;
  const logical = `${row.id}/${actor}`;
  return {
    ruleId: rule,
    ruleIndex: report.rules.findIndex(({ id }) => id === rule),
    // What is closed by the mode in force has passed.
    ...(now === 'closed' ? { kind: 'pass', level: 'none' } : { kind: 'fail', level: levels[severity] }),
    message: {
      text: `${message} Isolate: ${isolate.effect}. ${isolate.reason} Split: ${split.effect}. ${split.reason}`,
    },
    locations: [
      {
        ...(place === undefined ? {} : { physicalLocation: physical(place, line(place, first?.path ?? '')) }),
        logicalLocations: [{ name: actor, fullyQualifiedName: logical, kind: 'resource' }],
        ...(first === undefined ? {} : { message: { text: `${first.path}: ${first.says}` } }),
      },
    ],
    partialFingerprints: { 'podsplitFinding/v1': fingerprint(row, finding) },
    taxa: techniques.map((id) => ({ id, toolComponent: { name: taxonomyOf(report, id) } })),
    properties: {
      severity,
      actor,
      victims: finding.victims.map(nameOfVictim),
      isolate: isolate.effect,
      split: split.effect,
      now,
    },
  };
}

function taxonomyOf({ techniques }: AuditReport, id: string): string {
  const matrix = techniques.find((technique) => technique.id === id)?.matrix ?? 'MITRE';
  return taxonomies[matrix].name;
}

/** The same finding of the same workload keeps it, whatever line its field is moved to. */
function fingerprint(row: WorkloadAudit, { rule, actor, victims }: Finding): string {
  const parts = [row.id, rule, actor, ...victims.map(nameOfVictim)];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

/** stdin is no place that a reader could open. */
function placeOf(manifest: Manifest | undefined): Origin | undefined {
  return manifest === undefined || manifest.origin.file === '-' ? undefined : manifest.origin;
}

function physical({ file }: Origin, startLine: number): object {
  const uri = file.split('/').map(encodeURIComponent).join('/');
  const artifactLocation = file.startsWith('/') ? { uri: `file://${uri}` } : { uri, uriBaseId: '%SRCROOT%' };
  return { artifactLocation, region: { startLine } };
}

/** Each text is parsed once more, for its lines. */
function lines(): (origin: Origin, path: string) => number {
  const finders = new Map<string, ReturnType<typeof lineFinder>>();
  return ({ text, document, path: within }, path) => {
    const finder = finders.get(text) ?? lineFinder(text);
    finders.set(text, finder);
    return finder(document, [...within, ...stepsOf(path)]);
  };
}

/** `spec.containers[0].ports` and `metadata.annotations[podsplit.io/mode]`, taken apart. */
function stepsOf(path: string): readonly (string | number)[] {
  return [...path.matchAll(/\[(?<key>[^\]]+)\]|(?<field>[^.[\]]+)/g)].map(({ groups }) => {
    const { key, field } = groups ?? {};
    if (key === undefined) return field ?? '';
    return /^\d+$/.test(key) ? Number(key) : key;
  });
}
