"""What an attack aims at: victim.py app|helper|other|outside

Listens, and writes a line for whatever it is told: PROTOCOL PORT CALLER TEXT, to the file $SEEN. `app` also keeps what programs
of one Pod keep for each other: files, unix sockets, shared memory, queues; and talks all the time, as programs do.
"""
import ctypes, os, re, signal, socket, sys, threading, time

ROLE = sys.argv[1]
SEEN = os.environ["SEEN"]
SECRET = os.environ.get("SECRET", "")
LOCK = threading.Lock()
KEY = 0x7001
IPC_CREAT = 0o1000
IPC_NOWAIT = 0o4000

LISTENERS = {
    "app": [
        ("tcp", "127.0.0.1", 7001),
        ("tcp", "::1", 7001),
        ("tcp", "::", 7000),
        ("tcp", "::", 7002),
        ("udp", "::", 7003),
        ("udp", "::", 7004),
        ("tcp", "::", 9901),
    ],
    "helper": [("tcp", "::", 7101)],
    "other": [("tcp", "::", 7300), ("udp", "::", 7300)],
    "outside": [
        ("tcp", "::", 7300),
        ("udp", "::", 7300),
        ("udp", "::", 53),
        ("tcp", "169.254.169.254", 80),
    ],
}


def note(*words):
    with LOCK, open(SEEN, "a") as file:
        file.write(re.sub(r"[^ -~]", ".", " ".join(map(str, words))) + "\n")


def bound(protocol, host, port):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((host, port))
    return sock


def serve_stream(sock, what):
    sock.listen(64)
    while True:
        connection, peer = sock.accept()
        threading.Thread(target=talk, args=(connection, peer, what), daemon=True).start()


def talk(connection, peer, what):
    with connection:
        connection.settimeout(3)
        try:
            text = connection.recv(512).decode("latin1")
            note(what, peer[0] if isinstance(peer, tuple) else "-", text)
            connection.sendall(f"{ROLE} {SECRET}\n".encode())
        except OSError:
            pass


def serve_datagrams(sock, what):
    while True:
        data, peer = sock.recvfrom(2048)
        note(what, peer[0], data.decode("latin1"))
        try:
            sock.sendto(f"{ROLE} {SECRET}\n".encode(), peer)
        except OSError:
            pass


def start(run, *args):
    threading.Thread(target=run, args=args, daemon=True).start()


def unix(name):
    if not name.startswith("\0") and os.path.exists(name):
        os.unlink(name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(name)
    if not name.startswith("\0"):
        os.chmod(name, 0o666)
    return sock


def tell(host, port, text):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(1)
            sock.connect((host, port))
            sock.send(text.encode())
            sock.recv(64)
    except OSError:
        pass


def chat():
    """As programs of one Pod do: in clear, for it is only loopback."""
    while True:
        tell("127.0.0.1", 7101, f"Authorization: Bearer {SECRET}")
        tell(os.environ["OTHER4"], 7300, f"password={SECRET}")
        time.sleep(0.3)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)


def keep_ipc():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    segment = libc.shmget(KEY, 4096, IPC_CREAT | 0o666)
    ctypes.memmove(libc.shmat(segment, None, 0), SECRET.encode() + b"\0", len(SECRET) + 1)
    queue = libc.msgget(KEY, IPC_CREAT | 0o666)
    posix = libc.mq_open(b"/app-jobs", os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o666, None)
    job = ctypes.create_string_buffer(8 + 64)
    ctypes.memmove(job, (1).to_bytes(8, sys.byteorder) + SECRET.encode(), 8 + len(SECRET))
    libc.fchmod(posix, 0o666)
    for _ in range(8):
        libc.msgsnd(queue, job, 64, IPC_NOWAIT)
        libc.mq_send(posix, SECRET.encode(), len(SECRET), 0)


def app():
    write("/dev/shm/app-session", SECRET)
    write("/private/key", SECRET)
    write("/shared/key", SECRET)
    keep_ipc()
    start(serve_stream, unix("\0app-control"), "abstract")
    start(serve_stream, unix("/shared/app.sock"), "file-socket")
    signal.signal(signal.SIGUSR1, lambda *_: note("signal USR1"))
    start(chat)


os.umask(0)
open(SEEN, "a").close()
for protocol, host, port in LISTENERS[ROLE]:
    sock = bound(protocol, host, port)
    start(serve_stream if protocol == "tcp" else serve_datagrams, sock, f"{protocol} {port}")
if ROLE == "app":
    app()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if ROLE == "outside":  # It is no container, and ends with who started it.
    sys.stdin.read()
    os._exit(0)
while True:
    time.sleep(3600)
