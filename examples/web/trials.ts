// What the containers of web.yaml do to each other, as data for the demo and the end-to-end tests: duties, which must
// work however the Pod is run, and attacks by a compromised container, which must end with the shared Pod.

/** How the Deployment is run. `flows` is `split` with an explicit list instead of "every declared port". */
export const stages = ['whole', 'split', 'flows'] as const;
export type Stage = (typeof stages)[number];

/** The value of podsplit.io/flows in the last stage: what the four programs need, and no more. */
export const neededFlows = 'nginx->php:9000, php->statsd:8125/udp, exporter->nginx:8081';

export type Container = 'nginx' | 'php' | 'exporter' | 'statsd';
/** Where a command runs: in a container of the Pod, or in another Pod of the cluster. */
export type Place = Container | 'client';

export interface Command {
  readonly from: Place;
  /**
   * `{host}` becomes the Pod IP as it stands in a URL; the argument `{addresses of NAME}` becomes one argument for each
   * address at which that container may be had: loopback, the Pod IPs, its piece's own and those on the peer network.
   */
  readonly argv: readonly string[];
}

export interface Trial {
  readonly id: string;
  readonly kind: 'duty' | 'attack';
  readonly what: string;
  readonly run: Command;
  /** Runs once `run` has printed a line: the traffic that it lies in wait for. */
  readonly meanwhile?: Command;
  /** Where the effect is to be seen when `run` itself gets no answer, as with UDP. */
  readonly lookAt?: Command;
  /** Seen in the output if, and only if, the trial succeeded. */
  readonly proof: RegExp;
  readonly succeeds: Readonly<Record<Stage, boolean>>;
}

const always = { whole: true, split: true, flows: true } as const;
/** Nobody declared the port, or there is none: the split alone ends it. */
const endedBySplit = { whole: true, split: false, flows: false } as const;
/** The port is declared, and so open to every peer until the flows say who needs it. */
const endedByFlows = { whole: true, split: true, flows: false } as const;

const request: Command = {
  from: 'client',
  argv: ['curl', '-sS', '-m', '5', '-H', 'Cookie: session=alice-4711', 'http://{host}:8080/'],
};

/** statsd's management protocol: one command a line, the answer ends with END. */
const statsdCounters = 'exec 3<>/dev/tcp/$0/8126 && echo counters >&3 && sed -n "/END/q;p" <&3';

const readCounters: Command = { from: 'statsd', argv: ['timeout', '3', 'bash', '-c', statsdCounters, '127.0.0.1'] };

/** All addresses at once: a dropped packet is not answered, so each that is closed costs the whole second. */
const readCountersAnywhere = `try() { timeout 1 bash -c '${statsdCounters}' "$1" > /dev/null 2>&1 && echo "open at $1"; }
for address; do try "$address" & done; wait`;

/** A FastCGI request (https://fastcgi-archives.github.io/FastCGI_Specification.html) for a script that nginx never asks for. */
const fastcgiRequest = `
import socket, struct
def record(kind, body): return struct.pack('>BBHHBB', 1, kind, 1, len(body), 0, 0) + body
def param(name, value): return bytes([len(name), len(value)]) + name + value
params = param(b'REQUEST_METHOD', b'GET') + param(b'SCRIPT_FILENAME', b'/srv/app/admin.php')
php = socket.create_connection(('127.0.0.1', 9000), 2)
php.settimeout(2)
php.sendall(record(1, struct.pack('>HB5x', 1, 0)) + record(4, params) + record(4, b'') + record(5, b''))
print(php.recv(65535).decode(errors='replace'))
`;

/** Root with the default NET_RAW sees every frame of its network namespace, loopback too. */
const sniffer = `
import re, socket, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.settimeout(0.2)
print('listening', flush=True)
end = time.monotonic() + 3
while time.monotonic() < end:
    try: cookie = re.search(rb'session=[a-z0-9-]+', wire.recv(65535))
    except TimeoutError: continue
    if cookie:
        print('overheard', cookie[0].decode())
        break
`;

export const trials: readonly Trial[] = [
  {
    id: 'service',
    kind: 'duty',
    what: 'a client gets a page through the Service (nginx -> php by loopback)',
    run: { from: 'client', argv: ['curl', '-sS', '-m', '5', 'http://web/'] },
    proof: /"host":"web-/,
    succeeds: always,
  },
  {
    id: 'metrics',
    kind: 'duty',
    what: "Prometheus gets nginx's metrics through the Service (exporter -> nginx by loopback)",
    run: { from: 'client', argv: ['curl', '-sS', '-m', '5', 'http://web:9113/metrics'] },
    proof: /^nginx_up 1$/m,
    succeeds: always,
  },
  {
    id: 'statsd',
    kind: 'duty',
    what: 'a request is counted at statsd, which begins at 0 every 2 s (php -> statsd by UDP loopback)',
    run: request,
    lookAt: readCounters,
    proof: /'web\.requests': \d+/,
    succeeds: always,
  },
  {
    id: 'admin-page',
    kind: 'attack',
    what: "exporter reads the database password from nginx's admin server",
    run: { from: 'exporter', argv: ['curl', '-sS', '-m', '2', 'http://127.0.0.1:8082/admin'] },
    proof: /database password: \S+/,
    succeeds: endedBySplit,
  },
  {
    id: 'statsd-management',
    kind: 'attack',
    what: "exporter commands statsd through its management port, by any of statsd's addresses",
    run: { from: 'exporter', argv: ['bash', '-c', readCountersAnywhere, 'bash', '{addresses of statsd}'] },
    proof: /open at/,
    succeeds: endedBySplit,
  },
  {
    id: 'statsd-management-from-outside',
    kind: 'attack',
    what: 'another Pod of the cluster does the same',
    run: { from: 'client', argv: ['bash', '-c', readCountersAnywhere, 'bash', '{addresses of statsd}'] },
    proof: /open at/,
    succeeds: endedBySplit,
  },
  {
    id: 'listeners',
    kind: 'attack',
    what: 'exporter lists what its neighbours listen on',
    run: { from: 'exporter', argv: ['ss', '-Hltn'] },
    proof: /:8082\b/,
    succeeds: endedBySplit,
  },
  {
    id: 'sniff',
    kind: 'attack',
    what: 'statsd (root) overhears a session cookie on loopback',
    run: { from: 'statsd', argv: ['python3', '-c', sniffer] },
    meanwhile: request,
    proof: /overheard session=/,
    succeeds: endedBySplit,
  },
  {
    id: 'fastcgi',
    kind: 'attack',
    what: 'statsd has php-fpm run the admin script, by FastCGI',
    run: { from: 'statsd', argv: ['python3', '-c', fastcgiRequest] },
    proof: /database password: \S+/,
    succeeds: endedByFlows,
  },
  {
    id: 'forged-metric',
    kind: 'attack',
    what: 'exporter forges a business metric at statsd, by UDP',
    run: { from: 'exporter', argv: ['bash', '-c', "echo 'forged.orders:1|c' > /dev/udp/127.0.0.1/8125"] },
    lookAt: readCounters,
    proof: /'forged\.orders'/,
    succeeds: endedByFlows,
  },
];
