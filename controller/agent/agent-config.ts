import { parseHostIPs } from '../netns/facts.ts';
import { NetnsError } from '../netns/netns-error.ts';

/** The agent's environment and flags, parsed once: what is wrong is said before anything starts. */
export interface AgentConfig {
  readonly node: string;
  readonly hostIPs: readonly string[];
  /** Unique among agents: the Pod's name. */
  readonly instance: string;
  readonly namespace: string;
  /** The plugin as the image brings it, and the node's folder of CNI binaries as the agent sees it. */
  readonly plugin: string;
  readonly pluginFolder: string;
  readonly socket: string;
  readonly sandboxFolder: string;
  /** Served on the node's loopback for probes, on its addresses for metrics. */
  readonly port: number;
  readonly auditMs: number;
  readonly denialsMs: number;
}

export class AgentConfigError extends Error {
  readonly code = 'InvalidConfiguration';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws AgentConfigError that names every variable that is wrong, what it is and what is allowed. */
export function readAgentConfig(environment: Environment): AgentConfig {
  const problems: string[] = [];
  const needed = (name: string): string => {
    const value = environment[name] ?? '';
    if (value === '') problems.push(`${name}: is missing; the manifest sets it by the downward API.`);
    return value;
  };
  const seconds = (name: string, otherwise: number): number => {
    const value = Number(environment[name] ?? otherwise);
    if (Number.isFinite(value) && value >= 1 && value <= 3600) return value * 1000;
    problems.push(`${name}: is ${JSON.stringify(environment[name])}; a number of seconds from 1 to 3600 is needed.`);
    return otherwise * 1000;
  };
  const port = Number(environment['PODSPLIT_LISTEN_AGENT'] ?? 9471);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    problems.push(
      `PODSPLIT_LISTEN_AGENT: is ${JSON.stringify(environment['PODSPLIT_LISTEN_AGENT'])}; a port is needed.`,
    );
  }
  const config: AgentConfig = {
    node: needed('NODE_NAME'),
    hostIPs: hostIPs(needed('HOST_IPS'), problems),
    instance: needed('POD_NAME'),
    namespace: needed('POD_NAMESPACE'),
    plugin: environment['PODSPLIT_PLUGIN'] ?? '/usr/lib/podsplit/cni/podsplit',
    pluginFolder: environment['PODSPLIT_PLUGIN_FOLDER'] ?? '/host/opt/cni/bin',
    socket: '/run/podsplit/agent.sock',
    sandboxFolder: '/run/podsplit/sandboxes',
    port,
    auditMs: seconds('PODSPLIT_AUDIT_SECONDS', 60),
    denialsMs: seconds('PODSPLIT_DENIALS_SECONDS', 15),
  };
  if (problems.length > 0) throw new AgentConfigError(problems.join('\n'));
  return config;
}

function hostIPs(text: string, problems: string[]): readonly string[] {
  try {
    return parseHostIPs(text);
  } catch (error) {
    if (!(error instanceof NetnsError)) throw error;
    problems.push(error.message);
    return [];
  }
}
