// Who reaches whom, asked inside containers: one has Python, the controller's image has Node.js. A server that waits for its
// client to speak is reached as well.

import type { Ended } from '../../hack/demo/command.ts';
import { succeeded, type Target } from './agents.ts';

const patienceMs = 2000;

const python = `
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(target):
    protocol, address, port = target
    if protocol != 'tcp':
        raise SystemExit('TCP only')
    try:
        socket.create_connection((address, port), ${patienceMs / 1000}).close()
        return True
    except OSError:
        return False

targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(list(pool.map(reached, targets))))`;

const javascript = `
const net = require('node:net');
const dgram = require('node:dgram');

function tcp(host, port, end) {
  const socket = net.connect({ host, port }, () => end(true)).on('error', () => end(false));
  return () => socket.destroy();
}

function udp(host, port, end) {
  const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4');
  socket.on('message', () => end(true)).on('error', () => end(false));
  socket.connect(port, host, () => socket.send('?'));
  return () => socket.close();
}

const reached = ([protocol, host, port]) =>
  new Promise((resolve) => {
    const close = (protocol === 'tcp' ? tcp : udp)(host, port, resolve);
    setTimeout(() => (resolve(false), close()), ${patienceMs});
  });

Promise.all(JSON.parse(process.argv[1]).map(reached)).then((all) => {
  console.log(JSON.stringify(all));
  process.exit();
});`;

export const dialers = { python: ['python3', '-c', python], node: ['node', '-e', javascript] } as const;

/** @returns those of the targets that were reached, as `tcp 10.0.0.1 80` */
export async function dial(
  program: keyof typeof dialers,
  targets: readonly Target[],
  exec: (argv: readonly string[]) => Promise<Ended>,
): Promise<readonly string[]> {
  const ended = await exec([...dialers[program], JSON.stringify(targets)]);
  const answers = JSON.parse(succeeded(ended)) as readonly boolean[];
  return targets.filter((_, index) => answers[index] === true).map(nameOf);
}

export function nameOf(target: Target): string {
  return target.join(' ');
}
