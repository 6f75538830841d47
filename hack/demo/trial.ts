// Runs the trials of examples/web and says how they ended.

import type { Stage, Trial } from '../../examples/web/trials.ts';
import { startKubectl, type Ended } from './command.ts';
import { execArguments, type WebPod } from './pods.ts';

export interface Verdict {
  readonly trial: Trial;
  readonly succeeded: boolean;
  readonly expected: boolean;
  readonly output: string;
  /** The proof, as it stood in the output. */
  readonly seen: string | undefined;
}

/** Called with the arguments of each kubectl before it starts. */
export type Announce = (args: readonly string[]) => void;

export async function runTrial(
  trial: Trial,
  stage: Stage,
  namespace: string,
  pod: WebPod,
  announce: Announce = () => undefined,
): Promise<Verdict> {
  const start = (command: Trial['run']) => {
    const args = execArguments(namespace, pod, command);
    announce(args);
    return startKubectl(args);
  };
  const running = start(trial.run);
  if (trial.meanwhile) {
    await running.spoke;
    reached(await start(trial.meanwhile).ended);
  }
  const ended = reached(await running.ended);
  const { output } = trial.lookAt ? reached(await start(trial.lookAt).ended) : ended;
  const seen = trial.proof.exec(output)?.[0];
  return { trial, succeeded: seen !== undefined, expected: trial.succeeds[stage], output, seen };
}

/** An attack has failed only if it was made: `kubectl exec` that never got into the container proves nothing. */
function reached(ended: Ended): Ended {
  if (ended.status === 0 || ended.output.includes('command terminated with exit code')) return ended;
  throw new Error(`the command did not run in its container: ${ended.output.trim()}`);
}
