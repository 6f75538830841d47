"""Attacks from its first instruction, or counts what arrives: the two containers of a Pod in the race test.

race.py victim   answers on OPEN with what has arrived on CLOSED so far, as JSON: {"udp 10.0.0.7": 3, ...}
race.py attack   knocks on CLOSED everywhere that the victim may be, in a loop, until the victim has been there for a
                 while; then prints one line of JSON: what was tried, and what the victim says
"""
import fcntl, ipaddress, json, os, selectors, signal, socket, struct, sys, threading, time

BEGAN = time.monotonic()
OPEN, CLOSED = 7201, 7209
# How long the loop is tight at the start, and again once the victim has answered; when it gives up.
TIGHT, LAST, PATIENCE = 1.0, 1.5, 120.0
# So often it tries each target by each protocol at least, however busy the machine is.
TRIES = 4
SIOCGIFADDR = 0x8915
# SYNs that were dropped are not waited for.
SYN_PATIENCE = 0.05
LOOPBACK = ["127.0.0.1", "127.0.0.2", "::1"]


def plain(address):
    parsed = ipaddress.ip_address(address.split("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def bound(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        sock.listen(4096)
    return sock


def victim():
    arrived = {}
    selector = selectors.DefaultSelector()
    for name, kind, port in [
        ("udp", socket.SOCK_DGRAM, CLOSED),
        ("tcp", socket.SOCK_STREAM, CLOSED),
        ("ask", socket.SOCK_STREAM, OPEN),
    ]:
        selector.register(bound(kind, port), selectors.EVENT_READ, name)
    while True:
        for key, _ in selector.select():
            try:
                if key.data == "udp":
                    peer = key.fileobj.recvfrom(64)[1]
                else:
                    connection, peer = key.fileobj.accept()
                    with connection:
                        if key.data == "ask":
                            connection.sendall(json.dumps(arrived).encode())
                            continue
            except OSError:
                continue
            what = f"{key.data} {plain(peer[0])}"
            arrived[what] = arrived.get(what, 0) + 1


def own(interface):
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", interface.encode()))
            found.append(ipaddress.ip_address(answer[20:24]))
        except OSError:
            pass
    with open("/proc/net/if_inet6") as addresses:
        for line in addresses:
            address, _, _, scope, _, name = line.split()
            if name == interface and scope == "00":
                found.append(ipaddress.ip_address(int(address, 16).to_bytes(16, "big")))
    return found


def around(address, before, after):
    """Few of them: an address that nobody answers at costs the whole machine a neighbour entry for a while."""
    number = int(address)
    return [str(type(address)(n)) for n in range(number - before, number + after + 1)]


def block(address):
    """All that the own one is of: a SplitNetwork has 32 addresses in a block."""
    return around(address, int(address) % 32, 31 - int(address) % 32)


def targets():
    """Pod IPs are given out in order, peer addresses by blocks. A sibling is told the address of its Pod."""
    told = [address for address in os.environ.get("POD_IPS", "").split(",") if address]
    by_pod_ip = [each for address in own("eth0") for each in around(address, 4, 30)]
    by_peer_ip = [each for address in own("net1") for each in block(address)]
    return list(dict.fromkeys(LOOPBACK + told + by_pod_ip + by_peer_ip))


class Knocks:
    """Datagrams and connections to all targets, one each in a round."""

    def __init__(self, addresses):
        self.tried, self.connected = {"udp": 0, "tcp": 0}, {}
        # One each: what waits for a neighbour that is not there fills the socket's buffer.
        self.datagrams = {address: self.socket(address, socket.SOCK_DGRAM) for address in addresses}
        self.pending = {address: None for address in addresses}

    @staticmethod
    def socket(address, kind):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        sock.setblocking(False)
        return sock

    def round(self):
        for address, datagrams in self.datagrams.items():
            self.tried["udp"] += 1
            try:
                datagrams.sendto(b"?", (address, CLOSED))
            except OSError:
                pass
            self.connect(address)

    def connect(self, address):
        if self.pending[address] is None:
            self.tried["tcp"] += 1
            sock = self.socket(address, socket.SOCK_STREAM)
            # Closed by a reset, which leaves no TIME_WAIT behind.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.pending[address] = (sock, time.monotonic())
        sock, since = self.pending[address]
        error = sock.connect_ex((address, CLOSED))
        if error in (0, 106):  # EISCONN
            self.connected[address] = self.connected.get(address, 0) + 1
        elif error in (114, 115) and time.monotonic() - since < SYN_PATIENCE:  # EALREADY, EINPROGRESS
            return
        sock.close()
        self.pending[address] = None


def ask(address):
    """What has arrived, as the victim says by the flow that is open."""
    with socket.create_connection((address, OPEN), timeout=0.5) as sock:
        sock.settimeout(5)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
        return json.loads(answer)


def meet(answered):
    while not answered:
        try:
            ask("127.0.0.1")
            answered.append(time.monotonic())
        except (OSError, ValueError):
            time.sleep(0.05)


def attack():
    knocks, answered = Knocks(targets()), []
    knocks.round()
    first = round((time.monotonic() - BEGAN) * 1000)
    threading.Thread(target=meet, args=(answered,), daemon=True).start()
    enough = TRIES * len(knocks.pending)
    while (now := time.monotonic()) - BEGAN < PATIENCE:
        if answered and now - answered[0] > LAST and min(knocks.tried.values()) > enough:
            break
        knocks.round()
        if now - BEGAN > TIGHT and not answered:
            time.sleep(0.005)
    time.sleep(0.2)
    arrived = {}
    for address in ("127.0.0.1", "::1"):
        try:
            arrived[address] = ask(address)
        except (OSError, ValueError) as error:
            arrived[address] = repr(error)
    print(json.dumps({
        "firstRoundMs": first,
        "seconds": round(time.monotonic() - BEGAN, 1),
        "targets": list(knocks.pending),
        "tried": knocks.tried,
        "connected": knocks.connected,
        "arrived": arrived,
    }), flush=True)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if sys.argv[1] == "victim":
    victim()
else:
    attack()
    while True:
        signal.pause()
