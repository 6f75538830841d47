import { spawn } from 'node:child_process';

/** What a tree takes on disk, as du counts it; or why that is not known. */
export type Measure = { readonly kind: 'bytes'; readonly bytes: number } | { readonly kind: 'too large' | 'too slow' };

export interface MeasureBounds {
  /** Bytes of address space. */
  readonly memory: number;
  readonly cpuSeconds: number;
  readonly ms: number;
}

/**
 * du holds up to a hundred thousand names of each folder that it is inside of (gnulib, fts.c), some 300 bytes and the name
 * each, and one number for each file with several links. This is enough for millions of files that nobody heaped up to
 * exhaust it, and little enough for the driver's container.
 */
export const measureBounds: MeasureBounds = { memory: 80 * 2 ** 20, cpuSeconds: 30, ms: 60_000 };

/**
 * Programs that run in Pods make such trees while they are measured. du follows no link, leaves out what is mounted in them,
 * and walks those that are deeper than a path may be long. What it needs is bounded: memory and its own time say something of
 * the tree ("too large"), the time that passed says more of the disk ("too slow").
 */
export async function measureTree(folder: string, { memory, cpuSeconds, ms }: MeasureBounds): Promise<Measure> {
  const bounds = [`--as=${memory}`, `--cpu=${cpuSeconds}`, '--core=0'];
  const du = ['du', '--summarize', '--block-size=1', '--one-file-system', '--', folder];
  const { output, signal } = await outcomeOf('prlimit', [...bounds, ...du], ms);
  // It says what it found when a file went away meanwhile, and nothing when it could not go on.
  const bytes = Number.parseInt(output, 10);
  if (!Number.isNaN(bytes)) return { kind: 'bytes', bytes };
  return { kind: signal === 'SIGTERM' ? 'too slow' : 'too large' };
}

interface Outcome {
  readonly output: string;
  readonly signal: NodeJS.Signals | null;
}

/** What it complains of is not kept: its writers could make that as long as they like, with names that come and go. */
function outcomeOf(command: string, args: readonly string[], timeout: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'], timeout });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.once('error', reject).once('close', (_, signal) => {
      resolve({ output, signal });
    });
  });
}
