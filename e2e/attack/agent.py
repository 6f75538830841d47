"""Sockets inside one network namespace or Pod, driven by JSON lines.

Reads {"id", "op", ...} from stdin, writes {"id", "result"} or {"id", "error"}; ends with its stdin.
Servers answer every connection and datagram with JSON: who served it and whom they saw.
"""
import ctypes
import errno
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
from collections import deque

NAME = sys.argv[1]
HELD = {}
SEEN = {}
LISTENING = {}
KNOCKING = []
HEARD = {}
SNIFFED = set()
OUT = threading.Lock()
IP_TRANSPARENT, IPV6_FREEBIND = 19, 78
SO_ORIGINAL_DST = 80
MPTCP, TCP_FASTOPEN_NO_COOKIE = 262, 34
ETH_P_ALL, PACKET_OUTGOING = 3, 4
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def plain(address):
    return [address[0], address[1]]


def serve_tcp(listener, port):
    while True:
        try:
            conn, peer = listener.accept()
        except OSError:
            return  # unlisten
        threading.Thread(target=talk, args=(conn, peer, port), daemon=True).start()


def talk(conn, peer, port):
    SEEN.setdefault(port, []).append(plain(peer))
    with conn:
        try:
            while True:
                line = read_line(conn)
                if not line:
                    return
                word = line.split()
                if word[0] == b"send":  # so many bytes come, and go back as their digest
                    conn.sendall(digest(conn, int(word[1])).encode() + b"\n")
                elif word[0] == b"fetch":
                    conn.sendall(payload(int(word[1])))
                else:
                    conn.sendall(answer(peer, conn.getsockname(), original(conn)) + b"\n")
        except OSError:
            return


def answer(peer, local, meant=None):
    return json.dumps({"server": NAME, "peer": plain(peer), "local": plain(local), "meant": meant}).encode()


def original(conn):
    """Where the client wanted to go, as a transparent proxy asks the kernel (SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST)."""
    local = conn.getsockname()[0]
    four = conn.family == socket.AF_INET or local.startswith("::ffff:")
    level, size = (socket.SOL_IP, 16) if four else (socket.IPPROTO_IPV6, 28)
    try:
        data = conn.getsockopt(level, SO_ORIGINAL_DST, size)
    except OSError:
        return None
    port = struct.unpack("!H", data[2:4])[0]
    address = socket.inet_ntop(socket.AF_INET, data[4:8]) if four else socket.inet_ntop(socket.AF_INET6, data[8:24])
    return [address, port]


def read_line(conn):
    line = b""
    while not line.endswith(b"\n"):
        byte = conn.recv(1)
        if not byte:
            return b""
        line += byte
    return line.strip()


def payload(size):
    block = hashlib.sha256(b"podsplit").digest() * 2048
    return (block * (size // len(block) + 1))[:size]


def digest(conn, size):
    sha = hashlib.sha256()
    while size > 0:
        chunk = conn.recv(min(size, 1 << 20))
        if not chunk:
            break
        sha.update(chunk)
        size -= len(chunk)
    return sha.hexdigest()


def serve_udp(sock, port):
    while True:
        data, peer = sock.recvfrom(65535)
        if not peer:
            return  # unlisten
        SEEN.setdefault(port, []).append(plain(peer))
        reply = payload(int(data[5:])) if data.startswith(b"size ") else answer(peer, sock.getsockname())
        try:
            sock.sendto(reply, peer)
        except OSError:
            continue  # dropped on its way out: the client sees that nothing comes


def new_socket(proto, host, mptcp=False):
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    return socket.socket(family(host), kind, MPTCP if mptcp else 0)


def listen(proto, host, port, dual=False, mptcp=False, fastopen=False, group=None):
    """An unconnected UDP socket, as most servers have: its replies are matched by nothing but addresses."""
    sock = new_socket(proto, host, mptcp)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family(host) == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
    sock.bind((host, port))
    if group:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4sl", socket.inet_aton(group), socket.INADDR_ANY))
    if fastopen:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    if proto == "tcp":
        sock.listen(64)
    LISTENING[port] = sock
    threading.Thread(target=serve_tcp if proto == "tcp" else serve_udp, args=(sock, port), daemon=True).start()


def numeric(host, port):
    """With the interface of a link-local address (RFC 4007, section 11: fe80::1%eth0)."""
    return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0][4]


def connect(proto, host, port, timeout=2.0, source=None, freebind=False, transparent=False, sport=0, device=None, mptcp=False):
    sock = new_socket(proto, host, mptcp)
    sock.settimeout(timeout)
    if device:  # no privilege needed since Linux 5.7
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if sport:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if transparent:
        sock.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
    if freebind:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    if source or sport:
        sock.bind(numeric(source or ("::" if ":" in host else "0.0.0.0"), sport))
    sock.connect(numeric(host, port))
    return sock


def exchange(sock, proto):
    if proto == "tcp":
        sock.sendall(b"hello\n")
        line = read_line(sock)
    else:
        sock.send(b"hello")
        line = sock.recv(65535)
    if not line:
        raise ConnectionResetError(errno.ECONNRESET, "closed")
    return json.loads(line)


def call(proto, **target):
    with connect(proto, **target) as sock:
        return exchange(sock, proto)


def open_(key, proto, **target):
    HELD[key] = (connect(proto, **target), proto)
    return exchange(*HELD[key])


def again(key, timeout=2.0):
    HELD[key][0].settimeout(timeout)
    return exchange(*HELD[key])


def close(key):
    HELD.pop(key)[0].close()


def abort(key):
    """Ends it with a reset (SO_LINGER of no time), as a program does that gives up."""
    sock = HELD.pop(key)[0]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def unlisten(port):
    """Shut down first: a thread that waits in accept() would keep the socket."""
    sock = LISTENING.pop(port)
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # an unconnected UDP socket is shut down nevertheless
    sock.close()


def fastopen(host, port, timeout=2.0):
    """TCP Fast Open without a cookie: the data comes with the SYN."""
    with new_socket("tcp", host) as sock:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1)
        sock.sendto(b"hello\n", socket.MSG_FASTOPEN, numeric(host, port))
        return json.loads(read_line(sock))


def ping(host, timeout=2.0):
    """An echo request, by the kind of socket that needs no capability (net.ipv4.ping_group_range)."""
    protocol, request = (58, 128) if ":" in host else (1, 8)
    with socket.socket(family(host), socket.SOCK_DGRAM, protocol) as sock:
        sock.settimeout(timeout)
        sock.connect(numeric(host, 0))
        sock.send(struct.pack("!BBHHH", request, 0, 0, 0, 1) + b"hello")
        return sock.recv(1000)[8:].decode()


def knock(host, port, times):
    """Begins so many connections and waits for none; gives up those of before."""
    KNOCKING.clear()
    for _ in range(times):
        sock = new_socket("tcp", host)
        sock.setblocking(False)
        sock.connect_ex((host, port))
        KNOCKING.append(sock)


def cast(host, port, via):
    """One datagram to a group, sent by the interface with the address `via`."""
    with new_socket("udp", host) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(via))
        sock.sendto(b"hello", (host, port))


def send_bytes(host, port, size):
    with connect("tcp", host, port, timeout=30.0) as sock:
        sock.sendall(b"send %d\n" % size)
        sock.sendall(payload(size))
        return {"theirs": read_line(sock).decode(), "ours": hashlib.sha256(payload(size)).hexdigest()}


def fetch_bytes(host, port, size):
    with connect("tcp", host, port, timeout=30.0) as sock:
        sock.sendall(b"fetch %d\n" % size)
        return {"theirs": digest(sock, size), "ours": hashlib.sha256(payload(size)).hexdigest()}


def fetch_datagram(host, port, size):
    with connect("udp", host, port) as sock:
        sock.send(b"size %d" % size)
        return sock.recv(65535) == payload(size)


def neighbour(host, timeout=2.0):
    """A neighbour advertisement with data of its own, to somebody beyond the link."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        sock.sendto(struct.pack("!BBHI", 136, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, host) + b"podsplit-na", (host, 0))


def seen(port):
    return SEEN.get(port, [])


def frames(interface, data, bypass=False):
    """Whole Ethernet frames, as CAP_NET_RAW lets a container send them; with bypass past every egress hook."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        if bypass:
            sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        for each in data:
            sock.send(bytes.fromhex(each))


def sniff(interface, protocol=ETH_P_ALL):
    """Keeps what comes in by the interface. All protocols are heard before the kernel filters, one of them behind it."""
    if (interface, protocol) in SNIFFED:
        return
    SNIFFED.add((interface, protocol))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, protocol))
    member = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
    kept = HEARD.setdefault(interface, deque(maxlen=1000))
    threading.Thread(target=keep, args=(sock, kept), daemon=True).start()


def keep(sock, kept):
    while True:
        data, address = sock.recvfrom(2048)
        if address[2] != PACKET_OUTGOING:
            kept.append(data.hex())


def heard(interface, token):
    return any(token in frame for frame in list(HEARD[interface]))


def heard_of(interface, tokens):
    """Which of them."""
    frames = list(HEARD[interface])
    return [token for token in tokens if any(token in frame for frame in frames)]


def forget(interface):
    HEARD[interface].clear()


def load(proto, host, port, seconds):
    """Round trips, one after another, and how many of them failed."""
    done, failed, end = 0, 0, time.monotonic() + seconds
    with connect(proto, host, port, timeout=1.0) as sock:
        while time.monotonic() < end:
            try:
                exchange(sock, proto)
                done += 1
            except OSError:
                failed += 1
    return {"done": done, "failed": failed}


def echo(host, timeout=2.0):
    """By a raw socket, with data that somebody outside may read; the kernel at the other end answers. Ours sums up ICMPv6."""
    six = ":" in host
    kind = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    body = struct.pack("!HH", os.getpid() & 0xFFFF, int(time.monotonic() * 1000) & 0xFFFF) + b"podsplit"
    echo = bytes([128 if six else 8, 0])
    with socket.socket(family(host), socket.SOCK_RAW, kind) as sock:
        sock.connect((host, 0))
        sock.send(echo + checksum(echo + b"\0\0" + body) + body)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(2048)
            if data.endswith(body) and data[0 if six else 20] == (129 if six else 0):
                return True
        raise TimeoutError


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


OPS = {
    "listen": listen,
    "call": call,
    "open": open_,
    "again": again,
    "close": close,
    "abort": abort,
    "unlisten": unlisten,
    "fastopen": fastopen,
    "ping": ping,
    "knock": knock,
    "cast": cast,
    "sendBytes": send_bytes,
    "fetchBytes": fetch_bytes,
    "fetchDatagram": fetch_datagram,
    "echo": echo,
    "neighbour": neighbour,
    "seen": seen,
    "frames": frames,
    "sniff": sniff,
    "heard": heard,
    "heardOf": heard_of,
    "forget": forget,
    "load": load,
}


def run(request):
    try:
        reply = {"result": OPS[request["op"]](**request["args"])}
    except TimeoutError:
        reply = {"error": "ETIMEDOUT"}
    except OSError as error:
        reply = {"error": errno.errorcode.get(error.errno, str(error))}
    with OUT:
        print(json.dumps({"id": request["id"], **reply}), flush=True)


if os.getppid():  # In a container the parent is beyond, and is only the one who started it there.
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: never outlive the test run
for text in sys.stdin:
    threading.Thread(target=run, args=(json.loads(text),), daemon=True).start()
os._exit(0)
