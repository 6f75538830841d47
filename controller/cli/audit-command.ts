import { audit, type Audit, type AuditReport, type Made } from '../audit/report.ts';
import { severities, type Severity } from '../audit/finding.ts';
import type { InstallMode } from '../api/install.ts';
import type { SplitOptions } from '../split/plan.ts';
import { version } from '../version.ts';
import { readCluster } from './audit-cluster.ts';
import { formatHtml } from './audit-html.ts';
import { type AuditInput, inputOfManifests } from './audit-input.ts';
import { formatSarif } from './audit-sarif.ts';
import { formatAudit } from './audit-text.ts';
import { CliError } from './cli-error.ts';
import type { ClusterOptions } from './flows-command.ts';
import { type Io, type Manifest, readManifests } from './input.ts';
import { formatManifest } from './manifest-yaml.ts';
import { readNetwork } from './network.ts';

export interface AuditCommand extends ClusterOptions {
  /** Empty: the cluster is read. */
  readonly files: readonly string[];
  readonly output: 'table' | 'wide' | 'json' | 'yaml' | 'sarif' | 'html';
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  readonly selector: string | undefined;
  /** From which severity on an open finding is a failure. */
  readonly failOn: Severity | undefined;
}

/** `kubectl podsplit audit`: which container could do what to which other. Gives the exit code. */
export async function runAudit(command: AuditCommand, io: Io): Promise<number> {
  checkUsage(command);
  const { input, manifests, ...read } =
    command.files.length > 0 ? await fromFiles(command, io) : await fromCluster(command, io);
  const { maxContainers } = await readNetwork(undefined, io);
  const made: Made = {
    at: new Date(io.now()).toISOString(),
    by: `podsplit ${version}`,
    from: read.from,
    without: read.without,
  };
  const audited = audit(input.candidates, made, optionsFor(input, maxContainers, read.installs));
  const { report } = audited;
  print(audited, manifests, command, io);
  for (const { kind, name, reasons } of report.unreadable) {
    io.stderr(
      `${kind.toLowerCase()}/${name} is not judged, as an API server would not take it: ${reasons.join('; ')}\n`,
    );
  }
  if (read.without.length > 0) {
    io.stderr(`Not read, for you may not: ${read.without.join(', ')}. The answer is less exact without.\n`);
  }
  return command.failOn !== undefined && fails(report, command.failOn) ? 1 : 0;
}

function checkUsage({ files, allNamespaces, namespace, selector }: AuditCommand): void {
  if (allNamespaces && namespace !== undefined) throw new CliError('Give one of -n and -A.');
  if (files.length === 0) return;
  if (allNamespaces) throw new CliError('-A is about a cluster: leave it away, files are read whole.');
  if (selector !== undefined) throw new CliError('-l is about a cluster: leave it away, files are read whole.');
}

interface Read {
  readonly input: AuditInput;
  /** By the origin of a row. */
  readonly manifests: readonly Manifest[];
  readonly from: string;
  readonly without: readonly string[];
  readonly installs: ReadonlyMap<string, InstallMode>;
}

/** More would not be read. */
const maxNamed = 4;

async function fromFiles({ files, namespace }: AuditCommand, io: Io): Promise<Read> {
  const manifests = await readManifests(files, io);
  const from =
    files.length > maxNamed ? `${files.length} files` : files.map((file) => (file === '-' ? 'stdin' : file)).join(', ');
  return { input: inputOfManifests(manifests, namespace), manifests, from, without: [], installs: new Map() };
}

async function fromCluster(command: AuditCommand, io: Io): Promise<Read> {
  const { client, namespace: ofContext } = await io.connect(command);
  try {
    const namespace = command.allNamespaces ? undefined : (command.namespace ?? ofContext);
    const { selector } = command;
    const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`;
    return {
      ...(await readCluster(client, { namespace, selector })),
      manifests: [],
      from: `${client.server}, ${where}${selector === undefined ? '' : `, Pods with ${selector}`}`,
    };
  } finally {
    client.close();
  }
}

/** As the controller judges with its defaults: the agents of the nodes load the rules. */
function optionsFor(
  { readWriteOncePod }: AuditInput,
  maxContainers: number,
  byNetwork: ReadonlyMap<string, InstallMode>,
): (namespace: string) => SplitOptions {
  const options = { image: '', maxContainers, install: { otherwise: 'node', byNetwork } } as const;
  return (namespace) => {
    const claims = readWriteOncePod.get(namespace);
    return claims === undefined ? options : { ...options, readWriteOncePodClaims: claims };
  };
}

function print(audited: Audit, manifests: readonly Manifest[], command: AuditCommand, io: Io): void {
  const { report } = audited;
  switch (command.output) {
    case 'json':
      io.stdout(`${JSON.stringify(report, undefined, 2)}\n`);
      return;
    case 'yaml':
      io.stdout(formatManifest(report));
      return;
    case 'sarif':
      io.stdout(`${JSON.stringify(formatSarif(audited, manifests), undefined, 2)}\n`);
      return;
    case 'html':
      io.stdout(formatHtml(report));
      return;
    case 'table':
    case 'wide':
      if (report.workloads.length === 0) io.stderr(`No Pod with several containers found in ${report.made.from}.\n`);
      else io.stdout(formatAudit(report, { wide: command.output === 'wide', colours: io.colours }));
  }
}

function fails({ summary }: AuditReport, from: Severity): boolean {
  return severities.slice(0, severities.indexOf(from) + 1).some((severity) => summary.open[severity] > 0);
}
