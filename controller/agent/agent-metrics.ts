import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { processMetrics } from '../observability/process-metrics.ts';

/** Every metric of the node agent: names and labels are an interface, docs/metrics.md lists them. */
export type AgentMetrics = ReturnType<typeof createAgentMetrics>;

const seconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];

export function createAgentMetrics() {
  const registry = new Registry();
  const registers = [registry];
  processMetrics(registry);
  return {
    registry,
    calls: new Histogram({
      name: 'podsplit_agent_cni_duration_seconds',
      help: 'Calls of the CNI plugin by command, phase and result (ok, or the code of the refusal).',
      labelNames: ['command', 'phase', 'result'] as const,
      buckets: seconds,
      registers,
    }),
    sandboxes: new Gauge({
      name: 'podsplit_agent_sandboxes',
      help: 'Pieces on this node whose rules the agent keeps.',
      registers,
    }),
    unread: new Gauge({
      name: 'podsplit_agent_unread_sandboxes',
      help: 'Pieces on this node whose rules stay as they are, because another version of the agent wrote what it knows of them.',
      registers,
    }),
    repairs: new Counter({
      name: 'podsplit_agent_repairs_total',
      help: 'Pieces whose rules had been changed on the node and were loaded anew.',
      registers,
    }),
    rewires: new Histogram({
      name: 'podsplit_agent_rewire_duration_seconds',
      help: 'Time from hearing of changed flows until the tables of all pieces of the Pod on this node enforce them.',
      buckets: seconds,
      registers,
    }),
    denied: new Counter({
      name: 'podsplit_agent_denied_packets_total',
      help: "Packets by the counter of the pieces' tables that dropped them, or saw the kernel refuse them; docs/operations.md explains each.",
      labelNames: ['counter'] as const,
      registers,
    }),
    passedAround: new Counter({
      name: 'podsplit_agent_eth0_passed_around_total',
      help: "New pieces with tc filters on the node's end of eth0, which may lead frames past the agent's filter there.",
      registers,
    }),
    events: new Counter({
      name: 'podsplit_agent_events_total',
      help: 'Events by result: created, counted, dropped, failed.',
      labelNames: ['result'] as const,
      registers,
    }),
  };
}
