/**
 * Runs on a node, started by cni.ts: ADD and DEL of Pods' networks as the runtime calls them, by Multus, and nothing else.
 * Prints how long each ADD took, in milliseconds, as JSON: one list for each Pod, measured in turns.
 *
 *   cni-chain.ts ROUNDS '[{"namespace":"…","name":"…","uid":"…"}, …]'
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const config = readFileSync('/etc/cni/net.d/00-multus.conf', 'utf8');

function call(command: 'ADD' | 'DEL', id: string, pod: PodIdentity): number {
  const started = performance.now();
  const { status, stdout } = spawnSync('/opt/cni/bin/multus', {
    input: config,
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: `/var/run/netns/${id}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: [
        'IgnoreUnknown=1',
        `K8S_POD_NAMESPACE=${pod.namespace}`,
        `K8S_POD_NAME=${pod.name}`,
        `K8S_POD_INFRA_CONTAINER_ID=${id}`,
        `K8S_POD_UID=${pod.uid}`,
      ].join(';'),
    },
  });
  if (status !== 0) throw new Error(`${command} for ${pod.name}: ${stdout}`);
  return performance.now() - started;
}

function measure(pod: PodIdentity, round: number): number {
  const id = `bench-${pod.name}-${round}`;
  execFileSync('ip', ['netns', 'add', id]);
  try {
    const took = call('ADD', id, pod);
    call('DEL', id, pod);
    return took;
  } finally {
    execFileSync('ip', ['netns', 'delete', id]);
  }
}

const [rounds = '', pods = ''] = process.argv.slice(2);
const identities = JSON.parse(pods) as readonly PodIdentity[];
const times = identities.map((): number[] => []);
for (let round = 0; round <= Number(rounds); round++) {
  for (const [index, pod] of identities.entries()) {
    const took = measure(pod, round);
    // The first of each warms the caches.
    if (round > 0) times[index]?.push(took);
  }
}
console.log(JSON.stringify(times));
