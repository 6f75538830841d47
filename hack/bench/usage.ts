import { readFile, writeFile } from 'node:fs/promises';
import { median } from './figures.ts';

/** What a process has taken so far: processor seconds, and memory that is resident now, and was at most, in MiB. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly mebibytes: number;
  readonly peakMebibytes: number;
}

/** USER_HZ, fixed on Linux whatever the kernel's own tick is. */
const ticksPerSecond = 100;

/** proc_pid_stat(5), proc_pid_status(5). */
export async function usageOf(pid: number): Promise<Usage> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    mebibytes: mebibytes('VmRSS'),
    peakMebibytes: mebibytes('VmHWM'),
  };
}

/** The peak is counted anew from here: proc_pid_clear_refs(5). */
export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

const betweenSamplesMs = 1_000;

/** Samples the resident memory of a process while `work` goes on, in MiB, oldest first. */
export async function memoryDuring<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly samples: readonly number[] }> {
  const samples: number[] = [];
  const timer = setInterval(() => {
    void usageOf(pid).then(
      ({ mebibytes }) => samples.push(mebibytes),
      () => undefined,
    );
  }, betweenSamplesMs);
  try {
    return { result: await work(), samples };
  } finally {
    clearInterval(timer);
  }
}

/** Medians of one part of the samples and of a later one. Heaps fill in the first quarter: it is left out. */
export function memoryGrowth(samples: readonly number[]): { readonly early: number; readonly late: number } {
  const quarter = Math.floor(samples.length / 4);
  return { early: median(samples.slice(quarter, 2 * quarter)), late: median(samples.slice(-quarter)) };
}
