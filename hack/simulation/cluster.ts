// A control plane on the loopback whose nodes are simulated: for what needs many Pods or many runs, and no container.
//
// etcd, the API server, the controller manager and the scheduler are real, of the embedded cluster's build. Nodes are
// objects that kwok keeps Ready; a Pod on one of them "runs" as soon as it is bound (stages.ts says what is simulated).
// It stands beside the embedded cluster, and ends with the process that started it.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeClient } from '../../controller/kube/client.ts';
import { connect } from '../../controller/kube/connect.ts';
import { buildSimulation, type SimulationBuilds } from '../cluster/build.ts';
import { isReady } from '../cluster/control-plane.ts';
import { writeControlPlaneCredentials } from '../cluster/credentials.ts';
import { withLock } from '../cluster/lock.ts';
import type { Authority } from '../cluster/pki.ts';
import { serverUrl, type Place } from '../cluster/place.ts';
import { run, until } from '../cluster/run.ts';
import { apiserver, controllerManager, etcd, scheduler } from '../cluster/servers.ts';
import { Child } from './child.ts';
import { nodes, stages } from './stages.ts';

export interface SimulatedCluster {
  readonly server: string;
  readonly kubeconfig: string;
  /** The administrator's. */
  readonly client: KubeClient;
  /** Signs for the API server: whoever trusts it may be shown another certificate of it. */
  readonly authority: Authority;
  readonly ca: string;
  readonly folder: string;
  readonly auditLog: string;
  readonly processes: readonly Child[];
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** @param keep the logs, and all else in `folder`, for whoever wants to know what went wrong */
  stop(keep?: boolean): Promise<void>;
}

/** As many requests a second as the machine gives: what a limit of a client costs is nobody's figure. */
const unlimited = ['--kube-api-qps=5000', '--kube-api-burst=5000'];
/** A node that says nothing more is as well as it was: else its Pods would be marked as not ready after 50 seconds. */
const trusting = ['--node-monitor-grace-period=24h'];
/** Nobody is elected and nobody asks the nodes: no addresses have to be right. */
const alone = ['--endpoint-reconciler-type=none'];

export interface SimulationOptions {
  readonly nodes: number;
  /** A policy of audit.k8s.io/v1; what it finds worth a line is in `auditLog`. */
  readonly auditPolicy?: string;
}

export async function startSimulatedCluster(options: SimulationOptions): Promise<SimulatedCluster> {
  const builds = await withLock('build', buildSimulation);
  const folder = await mkdtemp(join(tmpdir(), 'podsplit-simulation-'));
  const place = await placeIn(folder);
  const authority = await writeControlPlaneCredentials(place);
  const processes: Child[] = [];
  try {
    await startPrograms(builds, place, processes, await auditFlags(folder, options.auditPolicy));
  } catch (error) {
    for (const child of processes) await child.kill();
    throw error;
  }
  const client = connect({ kubeconfig: place.kubeconfig });
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    run(
      [join(builds.kubernetes, 'kubectl'), `--kubeconfig=${place.kubeconfig}`, ...args],
      input === undefined ? {} : { input },
    );
  const cluster: SimulatedCluster = {
    server: serverUrl(place),
    kubeconfig: place.kubeconfig,
    client,
    authority,
    ca: await readFile(join(place.pki, 'ca.crt'), 'utf8'),
    folder,
    auditLog: join(folder, 'audit.log'),
    processes,
    kubectl,
    async stop(keep = false) {
      client.close();
      await Promise.all(processes.map((child) => child.kill()));
      if (!keep) await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await makeNodes(cluster, options.nodes);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

async function placeIn(folder: string): Promise<Place> {
  const [apiserver = 0, etcd = 0, etcdPeer = 0] = await freePorts(3);
  const logs = join(folder, 'logs');
  await mkdir(logs);
  return {
    state: folder,
    pki: join(folder, 'pki'),
    logs,
    kubeconfig: join(folder, 'kubeconfig'),
    address: '127.0.0.1',
    ports: { apiserver, etcd, etcdPeer },
  };
}

/** Free a moment ago; whoever starts there says if one is not. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function auditFlags(folder: string, policy: string | undefined): Promise<readonly string[]> {
  if (policy === undefined) return [];
  const file = join(folder, 'audit-policy.json');
  await writeFile(file, policy);
  // Never rotated: who counts writes reads one file, and 10,000 split Pods fill the default of 100 MB.
  return [`--audit-policy-file=${file}`, `--audit-log-path=${join(folder, 'audit.log')}`, '--audit-log-maxsize=4096'];
}

async function startPrograms(
  builds: SimulationBuilds,
  place: Place,
  processes: Child[],
  audit: readonly string[],
): Promise<void> {
  const start = (folder: string, name: string, ...args: readonly string[]): Child => {
    const child = Child.start(name, [join(folder, name), ...args], join(place.logs, `${name}.log`));
    processes.push(child);
    return child;
  };
  start(builds.etcd, 'etcd', ...etcd(place));
  start(builds.kubernetes, 'kube-apiserver', ...apiserver(place), ...alone, ...audit);
  await until('the simulated API server', 60, async () => {
    for (const { name, running } of processes) {
      if (running) continue;
      const log = await readFile(join(place.logs, `${name}.log`), 'utf8');
      throw new Error(`${name} ended: ${log.trim().split('\n').at(-1) ?? ''}`);
    }
    return isReady(place);
  });
  start(builds.kubernetes, 'kube-controller-manager', ...controllerManager(place), ...unlimited, ...trusting);
  start(builds.kubernetes, 'kube-scheduler', ...scheduler(place), ...unlimited);
  const config = join(place.state, 'stages.yaml');
  await writeFile(config, stages);
  start(
    builds.kwok,
    'kwok',
    `--kubeconfig=${place.kubeconfig}`,
    `--config=${config}`,
    '--manage-all-nodes=true',
    '--node-ip=192.0.2.1',
    '--server-address=',
  );
}

async function makeNodes(cluster: SimulatedCluster, count: number): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: nodes(count) };
  await cluster.kubectl(['create', '-f', '-'], JSON.stringify(list));
  await cluster.kubectl(['wait', '--for=condition=Ready', 'nodes', '--all', '--timeout=60s']);
  await cluster.kubectl(['wait', '--for=create', '-n', 'default', 'serviceaccount/default', '--timeout=60s']);
}
