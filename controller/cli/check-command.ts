import { checkReport } from './check-report.ts';
import { readSnapshot } from './check-snapshot.ts';
import { formatCheck } from './check-text.ts';
import type { ClusterOptions } from './flows-command.ts';
import type { Io } from './input.ts';
import { formatManifest } from './manifest-yaml.ts';

export interface CheckCommand extends ClusterOptions {
  readonly output: 'table' | 'wide' | 'json' | 'yaml';
}

/** `kubectl podsplit check`: has the cluster what podsplit needs, and is podsplit well? Gives the exit code. */
export async function runCheck(command: CheckCommand, io: Io): Promise<number> {
  const { client } = await io.connect(command);
  try {
    const report = checkReport(await readSnapshot(client, io.now(), (milliseconds) => io.pause(milliseconds)));
    const { output } = command;
    if (output === 'json') io.stdout(`${JSON.stringify(report, undefined, 2)}\n`);
    else if (output === 'yaml') io.stdout(formatManifest(report));
    else io.stdout(formatCheck(report, { wide: output === 'wide', colours: io.colours }));
    return report.summary.problem > 0 ? 1 : 0;
  } finally {
    client.close();
  }
}
