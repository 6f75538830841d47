import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { CliError } from './cli-error.ts';
import type { ClusterOptions } from './flows-command.ts';
import type { Io } from './input.ts';
import { formatManifest } from './manifest-yaml.ts';
import { podNamed } from './named-workload.ts';
import { madeBeforeLabel } from './status-hint.ts';
import { isWell, podReport, type PodReport } from './status-report.ts';
import { readSubjects, type StatusQuery, type Watched } from './status-subjects.ts';
import { formatStatus } from './status-text.ts';

export interface StatusCommand extends ClusterOptions {
  /** `POD` or `TYPE/NAME`. */
  readonly target: string | undefined;
  readonly output: 'table' | 'wide' | 'json' | 'yaml';
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  readonly selector: string | undefined;
  readonly watch: boolean;
}

/** Between two looks: what changes at once is shown at once, and nobody asks a cluster more often. */
const pauseMs = 1000;
/** Where the changes cannot be watched. */
const pollMs = 5000;
/** An API server ends a watch after this; it is begun again. */
const watchSeconds = 300;

/** `kubectl podsplit status [POD | TYPE/NAME]`: how split Pods are, and what to do. Gives the exit code. */
export async function runStatus(command: StatusCommand, io: Io): Promise<number> {
  checkUsage(command);
  const { client, namespace: ofContext } = await io.connect(command);
  const { target, selector } = command;
  const namespace = command.allNamespaces ? undefined : (command.namespace ?? ofContext);
  try {
    let shown: string | undefined;
    for (;;) {
      const query = { target, selector, namespace, mayBeNone: shown !== undefined };
      const { splits, watched } = await readSubjects(client, query);
      const reports = splits.map((split) => podReport(split, io.now()));
      // Ages are not in it: time alone is no change.
      const state = JSON.stringify(reports);
      if (state !== shown) print(reports, query, { command, io, again: shown !== undefined });
      const hint = shown === undefined ? await hintFor(client, query, command) : undefined;
      if (hint !== undefined) io.stderr(hint);
      shown = state;
      if (!command.watch) return reports.every(isWell) ? 0 : 1;
      await nextChange(client, watched, io);
    }
  } finally {
    client.close();
  }
}

/** For who looks at a whole namespace: programs read no hints. */
async function hintFor(
  client: KubeClient,
  { target, selector, namespace }: StatusQuery,
  { output }: StatusCommand,
): Promise<string | undefined> {
  const isAsked = target === undefined && selector === undefined && (output === 'table' || output === 'wide');
  return isAsked && namespace !== undefined ? madeBeforeLabel(client, namespace) : undefined;
}

function checkUsage({ target, allNamespaces, namespace, selector }: StatusCommand): void {
  if (target !== undefined && allNamespaces) {
    throw new CliError(`${target} is in one namespace: name it by -n instead of -A.`);
  }
  if (target !== undefined && selector !== undefined) {
    throw new CliError('Give a name, or a selector by -l, not both.');
  }
  if (allNamespaces && namespace !== undefined) throw new CliError('Give one of -n and -A.');
}

interface Printing {
  readonly command: StatusCommand;
  readonly io: Io;
  /** Something was printed before. */
  readonly again: boolean;
}

function print(reports: readonly PodReport[], query: StatusQuery, { command, io, again }: Printing): void {
  const { output } = command;
  if (output === 'json') {
    io.stdout(`${JSON.stringify({ pods: reports }, undefined, 2)}\n`);
    return;
  }
  if (output === 'yaml') {
    io.stdout(`${again ? '---\n' : ''}${formatManifest({ pods: reports })}`);
    return;
  }
  if (command.watch)
    io.stdout(io.terminal ? clearScreen : again ? `\n--- ${new Date(io.now()).toISOString()}\n\n` : '');
  if (reports.length === 0) {
    io.stderr(`No split Pods found${query.namespace === undefined ? '' : ` in ${query.namespace} namespace`}.\n`);
    return;
  }
  const [first] = reports;
  const target = command.target ?? '';
  const named = reports.length === 1 && first !== undefined && podNamed(target) !== undefined;
  io.stdout(
    formatStatus(reports, {
      wide: output === 'wide',
      inFull: target !== '',
      colours: io.colours,
      namespaces: command.allNamespaces,
      named: named && target !== '',
      now: io.now(),
    }),
  );
}

/** ECMA-48: the cursor home, then all behind it erased. What is in the terminal's history stays. */
const clearScreen = '\u001b[H\u001b[2J';

async function nextChange(client: KubeClient, watched: readonly Watched[], io: Io): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race(watched.map((each) => firstChange(client, each, over.signal, io)));
  } finally {
    over.abort();
  }
  await io.pause(pauseMs);
}

async function firstChange(
  client: KubeClient,
  { resource, ...from }: Watched,
  signal: AbortSignal,
  io: Io,
): Promise<void> {
  try {
    const events = client.watch(resource, { ...from, timeoutSeconds: watchSeconds, signal });
    for await (const { type } of events) if (type !== 'BOOKMARK') return;
  } catch (error) {
    if (!isApiError(error)) throw error;
    // Not allowed, or cut: what is wrong with the cluster the next look says.
    if (!signal.aborted) await io.pause(pollMs);
  }
}
