import { KubeConfig } from '@kubernetes/client-node';
import type { KubeClient } from './client.ts';
import { JsonKubeClient } from './client.ts';
import { systemClock } from './clock.ts';
import type { Credentials } from './transport.ts';
import { HttpsTransport } from './transport.ts';

export interface ConnectOptions {
  /** Path of a kubeconfig; default: in a Pod its ServiceAccount, else KUBECONFIG or ~/.kube/config. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** User to impersonate, as `kubectl --as`. */
  readonly as?: string;
  /** Of podsplit, for the User-Agent. */
  readonly version?: string;
  /** Another address of the same API server, such as a proxy's: https://127.0.0.1:6444. */
  readonly server?: string;
  /** What is told of the API server's time: see server-clock.ts. */
  readonly heard?: (date: string) => void;
}

export function connect(options: ConnectOptions = {}): KubeClient {
  const credentials = credentialsOf(loadKubeConfig(options));
  const userAgent = `podsplit/${options.version ?? 'dev'} (${process.platform}/${process.arch})`;
  const { as: impersonate, heard } = options;
  return new JsonKubeClient(new HttpsTransport({ credentials, userAgent, impersonate, heard }), systemClock);
}

/** The namespace that kubectl works in when none is named. */
export function contextNamespace(options: ConnectOptions = {}): string {
  const config = loadKubeConfig(options);
  return config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
}

function loadKubeConfig(options: ConnectOptions): KubeConfig {
  const config = new KubeConfig();
  if (options.kubeconfig !== undefined) config.loadFromFile(options.kubeconfig);
  else if (process.env['KUBECONFIG'] === undefined && process.env['KUBERNETES_SERVICE_HOST'] !== undefined) {
    config.loadFromCluster();
  } else config.loadFromDefault();
  // What the client library makes up where it finds none: kubectl's old port on this machine, which nobody means.
  if (config.getCurrentContext() === 'loaded-context') {
    throw new TypeError('there is none; set KUBECONFIG, or name one with --kubeconfig.');
  }
  if (options.context !== undefined) config.setCurrentContext(options.context);
  if (options.server !== undefined) {
    const { server } = options;
    config.clusters = config.clusters.map((cluster) => ({ ...cluster, server }));
  }
  return config;
}

function credentialsOf(config: KubeConfig): Credentials {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new TypeError('The kubeconfig has no current cluster: set a context.');
  return {
    server: cluster.server,
    proxied: cluster.proxyUrl !== undefined,
    apply: (options) => config.applyToHTTPSOptions(options),
  };
}
