"""A mesh of programs: an app, and the transparent proxy by which its clients come and its own calls leave.

mesh.py app PORT ... probe:PORT   says who called, as the proxy tells it by a PROXY line, or as the socket does
mesh.py proxy in:PORT out:PORT    asks the kernel where a connection was meant to go (SO_ORIGINAL_DST), and goes there
mesh.py call ADDRESS PORT         prints the answer
mesh.py idle
"""
import ipaddress, os, signal, socket, struct, sys, threading

SO_ORIGINAL_DST = 80
PATIENCE = 1.0


def plain(address):
    parsed = ipaddress.ip_address(address.split('%')[0])
    return str(getattr(parsed, 'ipv4_mapped', None) or parsed)


def original(connection):
    four = '.' in connection.getsockname()[0]
    level, size = (socket.SOL_IP, 16) if four else (socket.IPPROTO_IPV6, 28)
    data = connection.getsockopt(level, SO_ORIGINAL_DST, size)
    address = socket.inet_ntop(socket.AF_INET, data[4:8]) if four else socket.inet_ntop(socket.AF_INET6, data[8:24])
    return address, struct.unpack('!H', data[2:4])[0]


def read_all(connection):
    data = b''
    while block := connection.recv(4096):
        data += block
    return data.decode()


def app(connection, peer):
    connection.settimeout(0.2)
    caller = plain(peer[0])
    try:
        word, *rest = connection.recv(200).decode().split() or ['']
        if word == 'PROXY':
            caller = rest[0]
    except TimeoutError:
        pass
    connection.sendall(f'app called by {caller}'.encode())


def probed(port):
    def handle(connection, peer):
        print(f'{port} probed by {plain(peer[0])}')
        connection.sendall(f'app called by {plain(peer[0])}'.encode())
    return handle


def enter(connection, peer):
    address, port = original(connection)
    client = plain(peer[0])
    said = f'proxy meant {address} {port} for {client}; '
    try:
        # As in one Pod: the app is on loopback.
        with socket.create_connection(('127.0.0.1' if '.' in address else '::1', port), PATIENCE) as upstream:
            upstream.sendall(f'PROXY {client}\n'.encode())
            said += read_all(upstream)
    except OSError:
        said += 'nobody'
    connection.sendall(said.encode())


def leave(connection, peer):
    address, port = original(connection)
    connection.recv(200)
    with socket.create_connection((address, port), PATIENCE) as upstream:
        upstream.sendall(b'hello\n')
        upstream.shutdown(socket.SHUT_WR)
        connection.sendall(f'proxy let out to {address} {port}; {upstream.recv(4096).decode()}'.encode())


def call(address, port):
    with socket.create_connection((address, int(port)), 2 * PATIENCE) as connection:
        connection.sendall(b'hello\n')
        print(connection.recv(4096).decode())


def serve(handle, port):
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(('::', port))
    sock.listen(512)
    # A dual-stack socket asks for the destination of IPv4 at the level of IPv4.
    while True:
        connection, peer = sock.accept()
        threading.Thread(target=quietly, args=(handle, connection, peer), daemon=True).start()


def quietly(handle, connection, peer):
    with connection:
        try:
            handle(connection, peer)
        except OSError:
            pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
role, *ports = sys.argv[1:]
if role == 'call':
    call(*ports)
    sys.exit()
for spec in ports:
    kind, _, number = spec.rpartition(':')
    handle = {'in': enter, 'out': leave, 'probe': probed(number), '': app}[kind]
    threading.Thread(target=serve, args=(handle, int(number)), daemon=True).start()
while True:
    signal.pause()
