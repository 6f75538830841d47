import { readdirSync } from 'node:fs';
import type { Registry } from 'prom-client';
import { Counter, Gauge } from 'prom-client';

/** Once: a clock that is set later has not started the process anew. */
const startedAt = Math.round(Date.now() / 1000 - process.uptime());

/**
 * The figures that Prometheus' client libraries share, read when somebody asks. prom-client's own defaults also keep an
 * event loop monitor and a GC observer running, which is not free.
 */
const figures: readonly { readonly name: string; readonly help: string; readonly read: () => number }[] = [
  {
    name: 'process_start_time_seconds',
    help: 'Start of the process since the epoch.',
    read: () => startedAt,
  },
  { name: 'process_resident_memory_bytes', help: 'Resident memory.', read: () => process.memoryUsage.rss() },
  { name: 'process_open_fds', help: 'Open file descriptors.', read: () => readdirSync('/proc/self/fd').length },
  { name: 'nodejs_heap_used_bytes', help: 'Heap in use.', read: () => process.memoryUsage().heapUsed },
  {
    name: 'nodejs_eventloop_utilization',
    help: 'Share of the process lifetime that the event loop was busy.',
    read: () => performance.eventLoopUtilization().utilization,
  },
];

export function processMetrics(registry: Registry): void {
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time.',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      cpu.reset();
      cpu.inc((user + system) / 1e6);
    },
  });
  for (const { name, help, read } of figures) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
}
