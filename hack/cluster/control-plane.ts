// The embedded cluster's control plane, in the machine's own network namespace.

import { readFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import type { Builds } from './build.ts';
import { kubeconfig, kubectlPath, logs } from './paths.ts';
import { embeddedPlace, serverUrl } from './place.ts';
import type { Place } from './place.ts';
import { isAlive, startDaemon } from './processes.ts';
import type { ProcessRecord } from './processes.ts';
import { until } from './run.ts';
import { apiserver, controllerManager, etcd, scheduler } from './servers.ts';

/** Webhooks and aggregated API servers are called at their Pods' addresses: no kube-proxy runs beside us. */
const toPods = '--enable-aggregator-routing=true';

/** Starts the control plane and returns once the API server is ready. */
export async function startControlPlane(builds: Builds): Promise<Record<string, ProcessRecord>> {
  const kubernetes = builds.bin.kubernetes;
  const place = embeddedPlace;
  const started = {
    etcd: await startDaemon([join(builds.bin.etcd, 'etcd'), ...etcd(place)], join(logs, 'etcd.log')),
    'kube-apiserver': await startDaemon(
      [join(kubernetes, 'kube-apiserver'), ...apiserver(place), toPods],
      join(logs, 'kube-apiserver.log'),
    ),
  };
  await until('the API server', 60, async () => {
    for (const [name, process] of Object.entries(started)) {
      if (!(await isAlive(process))) throw new Error(`${name} ended; see ${join(logs, `${name}.log`)}`);
    }
    return isReady(place);
  });
  return {
    ...started,
    'kube-controller-manager': await startDaemon(
      [join(kubernetes, 'kube-controller-manager'), ...controllerManager(place)],
      join(logs, 'kube-controller-manager.log'),
    ),
    'kube-scheduler': await startDaemon(
      [join(kubernetes, 'kube-scheduler'), ...scheduler(place)],
      join(logs, 'kube-scheduler.log'),
    ),
  };
}

/** Whether the API server says that it is ready; anybody may ask. */
export async function isReady(place: Place): Promise<boolean> {
  const ca = await readFile(join(place.pki, 'ca.crt'));
  return new Promise((resolve) => {
    const request = get(`${serverUrl(place)}/readyz`, { ca, timeout: 5000, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => {
      resolve(false);
    });
  });
}

/** A command line that runs kubectl as the administrator. */
export function kubectl(...args: readonly string[]): string[] {
  return [kubectlPath, `--kubeconfig=${kubeconfig}`, ...args];
}
