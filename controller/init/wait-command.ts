import { parseArgs } from 'node:util';
import { startedFile, startedMountPath } from '../api/names.ts';
import { host, type Host } from '../netns/host.ts';
import { saysStarted } from '../split/started.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** `podsplit wait NAME`: ends when the controller says that the native sidecar has started. Gives the exit code. */
export async function runWaitCommand(args: readonly string[], env: Environment): Promise<number> {
  // The container's process 1 has no default action for signals: SIGTERM would wait for SIGKILL, a whole grace period.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(143));
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { file: { type: 'string', default: `${startedMountPath}/${startedFile}` } },
  });
  const [sidecar, ...more] = positionals;
  const podIP = env['POD_IP'] ?? '';
  if (sidecar === undefined || more.length > 0 || podIP === '') {
    host.log('error', 'wait needs the name of one native sidecar, and POD_IP', { code: 'InvalidEnvironment' });
    return 2;
  }
  await awaitStart({ sidecar, podIP, file: values.file, pollInterval: 200, reportInterval: 10_000 }, host);
  return 0;
}

export interface WaitOptions {
  readonly sidecar: string;
  /** Of this sandbox: what was said to an earlier one does not count. */
  readonly podIP: string;
  /** The annotation podsplit.io/started, as the downward API's volume shows it. */
  readonly file: string;
  /** Milliseconds. */
  readonly pollInterval: number;
  /** Milliseconds. */
  readonly reportInterval: number;
}

/** The downward API swaps a symlink two directories up, which file watchers miss: the file is read again and again. */
export async function awaitStart(
  { sidecar, podIP, file, pollInterval, reportInterval }: WaitOptions,
  { read, sleep, now, log }: Pick<Host, 'read' | 'sleep' | 'now' | 'log'>,
): Promise<void> {
  const since = now();
  let reported = -Infinity;
  while (!saysStarted((await read(file)) ?? '', sidecar, podIP)) {
    if (now() - reported >= reportInterval) {
      reported = now();
      log('info', `waiting for native sidecar ${sidecar} to start`, { seconds: Math.round((reported - since) / 1000) });
    }
    await sleep(pollInterval);
  }
  log('info', `native sidecar ${sidecar} has started`, { seconds: Math.round((now() - since) / 1000) });
}
