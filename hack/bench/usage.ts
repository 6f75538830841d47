import { readFile, writeFile } from 'node:fs/promises';

/** What a process has taken so far: processor seconds, and the most memory that was resident at once, in MiB. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly peakMebibytes: number;
}

/** USER_HZ, fixed on Linux whatever the kernel's own tick is. */
const ticksPerSecond = 100;

/** proc_pid_stat(5), proc_pid_status(5). */
export async function usageOf(pid: number): Promise<Usage> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    peakMebibytes: Number(peak) / 1024,
  };
}

/** The peak is counted anew from here: proc_pid_clear_refs(5). */
export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}
