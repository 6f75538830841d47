import { kubectl, tryKubectl } from '../kubectl.ts';
import { median, type Figure } from './figures.ts';

const namespace = 'podsplit-bench';
const rounds = 7;

/** A server that answers each byte with a byte (port 7000) and swallows everything (port 7001), on loopback only. */
const server = `
import socket, threading
def serve(port, handle):
    listener = socket.create_server(('127.0.0.1', port))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(connection,), daemon=True).start()
def echo(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(64): connection.sendall(data)
def swallow(connection):
    buffer, total = bytearray(1 << 20), 0
    while count := connection.recv_into(buffer): total += count
    connection.sendall(b'.')
threading.Thread(target=serve, args=(7001, swallow), daemon=True).start()
serve(7000, echo)
`;

/** Prints the median round trip in microseconds, or the throughput of 1 GiB in MB/s. */
const client = {
  latency: `
import socket, time, statistics
s = socket.create_connection(('127.0.0.1', 7000)); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
times = []
for i in range(12000):
    a = time.perf_counter_ns(); s.sendall(b'x'); s.recv(1); times.append(time.perf_counter_ns() - a)
print(statistics.median(times[2000:]) / 1000)
`,
  throughput: `
import socket, time
s = socket.create_connection(('127.0.0.1', 7001)); block = bytes(1 << 18)
a = time.perf_counter()
for i in range(4096): s.sendall(block)
s.shutdown(socket.SHUT_WR); s.recv(1)
print(1024 * 1.048576 / (time.perf_counter() - a))
`,
} as const;

/** Without limits, which would be measured too. */
const annotations = { 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'token' };

function pod(name: string, split: boolean): object {
  const container = (container: string, command: readonly string[], ports: readonly number[]) => ({
    name: container,
    image: 'podsplit.local/samples:dev',
    imagePullPolicy: 'IfNotPresent',
    command,
    ports: ports.map((containerPort) => ({ containerPort })),
  });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, ...(split ? { annotations } : {}) },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        container('client', ['sleep', 'infinity'], []),
        container('server', ['python3', '-c', server], [7000, 7001]),
      ],
    },
  };
}

/** The same two programs, in one Pod and split, measured in turns so that a change of the machine's mood meets both. */
export function benchLoopback(): readonly Figure[] {
  tryKubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=true']);
  kubectl(['create', 'namespace', namespace]);
  try {
    kubectl(['apply', '-f', '-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [pod('whole', false), pod('split', true)] }),
    });
    kubectl(['-n', namespace, 'wait', '--for=condition=Ready', 'pod/whole', 'pod/split', '--timeout=90s']);
    waitForServer('whole');
    waitForServer('split');
    return [
      compare('latency', 'loopback TCP round trip, p50', 'µs', '1.10 or less'),
      compare('throughput', 'loopback throughput', 'MB/s', '0.95 or more'),
    ];
  } finally {
    tryKubectl(['delete', 'namespace', namespace, '--wait=true']);
  }
}

function measure(name: string, what: keyof typeof client): number {
  return Number(kubectl(['-n', namespace, 'exec', name, '-c', 'client', '--', 'python3', '-c', client[what]]));
}

/** Ready means that the programs were started; the measurement begins when the server listens. */
function waitForServer(name: string): void {
  const deadline = Date.now() + 30_000;
  const probe = 'import socket; socket.create_connection(("127.0.0.1", 7000)).close()';
  while (tryKubectl(['-n', namespace, 'exec', name, '-c', 'client', '--', 'python3', '-c', probe]) === undefined) {
    if (Date.now() > deadline) throw new Error(`the server of Pod ${name} does not listen`);
  }
}

function compare(what: keyof typeof client, name: string, unit: string, goal: string): Figure {
  const pairs = Array.from({ length: rounds }, () => ({
    whole: measure('whole', what),
    split: measure('split', what),
  }));
  const ratio = median(pairs.map((pair) => pair.split / pair.whole));
  const show = (values: readonly number[]) => `${median(values).toFixed(1)} ${unit}`;
  return {
    name,
    value: show(pairs.map((pair) => pair.split)),
    against: `${show(pairs.map((pair) => pair.whole))} in one Pod`,
    ratio,
    goal,
  };
}
