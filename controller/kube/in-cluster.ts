import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import type { KubeClient } from './client.ts';
import { JsonKubeClient } from './client.ts';
import { systemClock } from './clock.ts';
import type { Credentials } from './transport.ts';
import { HttpsTransport } from './transport.ts';

const folder = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * A Pod's own ServiceAccount, without client-node: its kubeconfig machinery is half of a small process' memory, and a Pod
 * needs two files of it. The kubelet renews the token in its file, so it is read for each request.
 *
 * @throws TypeError outside of a Pod
 */
export function connectInCluster(version: string): KubeClient {
  const userAgent = `podsplit/${version} (${process.platform}/${process.arch})`;
  return new JsonKubeClient(new HttpsTransport({ credentials: inCluster(process.env), userAgent }), systemClock);
}

function inCluster(environment: NodeJS.ProcessEnv): Credentials {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  const port = environment['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || port === undefined) {
    throw new TypeError('KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this runs in a Pod only.');
  }
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    proxied: false,
    apply: async (options) => {
      const [ca, token] = await Promise.all([
        readFile(`${folder}/ca.crt`, 'utf8'),
        readFile(`${folder}/token`, 'utf8'),
      ]);
      options.ca = ca;
      options.headers = Object.assign(options.headers ?? {}, { Authorization: `Bearer ${token.trim()}` });
    },
  };
}
