import { isRecord } from '../api/json.ts';
import { type Values, imageValues, mergeValues, valueProblems } from '../manifests/values.ts';
import { CliError } from './cli-error.ts';
import { type Io, readText } from './input.ts';
import { parseManifests } from './manifest-yaml.ts';

/** What may be chosen without a file. */
export interface ValueFlags {
  readonly valueFiles: readonly string[];
  readonly image: string | undefined;
  readonly replicas: string | undefined;
  readonly logLevel: string | undefined;
  readonly networkPolicy: boolean;
  readonly serviceMonitor: boolean;
  readonly dashboard: boolean;
}

/**
 * Files in their order, then flags: the later wins, as with Helm.
 *
 * @throws CliError that says all that does not fit
 */
export async function chosenValues(flags: ValueFlags, io: Io): Promise<Values> {
  const files = [];
  for (const file of flags.valueFiles) files.push(await readValues(file, io));
  return [...files, flagValues(flags)].reduce(mergeValues, {});
}

async function readValues(file: string, io: Io): Promise<Values> {
  const parsed = parseManifests(await readText(file, io));
  if (parsed.kind === 'invalid') throw new CliError(`${file}:${parsed.line}: ${parsed.message}. Correct the YAML.`);
  const [values = {}, ...more] = parsed.documents;
  if (more.length > 0 || !isRecord(values)) {
    throw new CliError(`${file} has to be one document of values, as deploy/chart/values.yaml.`);
  }
  refuseMisfits(values, `${file} does not fit.`);
  return values;
}

function flagValues(flags: ValueFlags): Values {
  const { image, replicas, logLevel } = flags;
  const values = [
    image === undefined ? {} : imageValues(image),
    replicas === undefined ? {} : { controller: { replicas: /^\d+$/.test(replicas) ? Number(replicas) : replicas } },
    logLevel === undefined ? {} : { controller: { logLevel }, agent: { logLevel } },
    ...(['networkPolicy', 'serviceMonitor', 'dashboard'] as const).map((option) =>
      flags[option] ? { [option]: { enabled: true } } : {},
    ),
  ].reduce(mergeValues, {});
  refuseMisfits(values, 'The flags do not fit.');
  return values;
}

/** @param what begins the message: whose values they are */
export function refuseMisfits(values: unknown, what: string): void {
  const problems = valueProblems(values);
  if (problems.length > 0) throw new CliError([what, ...problems.map((problem) => `  ${problem}`)].join('\n'));
}
