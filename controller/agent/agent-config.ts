import { Environment, type Variables } from '../environment.ts';
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
  readonly isolatedFolder: string;
  /** Served on the node's loopback for probes, on its addresses for metrics. */
  readonly port: number;
  readonly auditMs: number;
  readonly denialsMs: number;
}

const byManifest = 'the manifest sets it by the downward API.';

/** @throws ConfigError that names every variable that is wrong, what it is and what is allowed. */
export function readAgentConfig(variables: Variables): AgentConfig {
  const environment = new Environment(variables);
  const config: AgentConfig = {
    node: environment.needed('NODE_NAME', byManifest),
    hostIPs: hostIPs(environment),
    instance: environment.needed('POD_NAME', byManifest),
    namespace: environment.needed('POD_NAMESPACE', byManifest),
    plugin: environment.text('PODSPLIT_PLUGIN', '/usr/lib/podsplit/cni/podsplit'),
    pluginFolder: environment.text('PODSPLIT_PLUGIN_FOLDER', '/host/opt/cni/bin'),
    socket: '/run/podsplit/agent.sock',
    sandboxFolder: '/run/podsplit/sandboxes',
    isolatedFolder: '/run/podsplit/isolated',
    port: environment.whole('PODSPLIT_LISTEN_AGENT', 9471),
    auditMs: environment.seconds('PODSPLIT_AUDIT_SECONDS', 60),
    denialsMs: environment.seconds('PODSPLIT_DENIALS_SECONDS', 15),
  };
  environment.expectSound();
  return config;
}

function hostIPs(environment: Environment): readonly string[] {
  try {
    return parseHostIPs(environment.needed('HOST_IPS', byManifest));
  } catch (error) {
    if (!(error instanceof NetnsError)) throw error;
    environment.problems.push(error.message);
    return [];
  }
}
