"""Listens, and calls others: the program of the containers under test.

agent.py serve PROTOCOL:BIND:PORT ...   answers everybody with its host name and the caller's address as it sees it
agent.py call '[[PROTOCOL, ADDRESS, PORT], ...]'   calls all at once; prints the answers in order as JSON, null for none
"""
import ipaddress, json, os, selectors, signal, socket, sys, threading, time

PATIENCE = 2.0


def plain(address):
    parsed = ipaddress.ip_address(address.split('%')[0])
    return str(getattr(parsed, 'ipv4_mapped', None) or parsed)


def listener(protocol, bind, port):
    family = socket.AF_INET if '.' in bind else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM if protocol == 'tcp' else socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bind == '::':
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((bind, port))
    if protocol == 'tcp':
        sock.listen(512)
    return sock


def serve(specs):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    selector = selectors.DefaultSelector()
    for spec in specs:
        protocol, rest = spec.split(':', 1)
        bind, port = rest.rsplit(':', 1)
        selector.register(listener(protocol, bind, int(port)), selectors.EVENT_READ, protocol)
    name = os.environ.get('AGENT', '')
    while True:
        for key, _ in selector.select():
            try:
                if key.data == 'tcp':
                    connection, peer = key.fileobj.accept()
                    with connection:
                        connection.sendall(f'{name} {plain(peer[0])}'.encode())
                else:
                    _, peer = key.fileobj.recvfrom(64)
                    key.fileobj.sendto(f'{name} {plain(peer[0])}'.encode(), peer)
            except OSError:
                pass


def call(protocol, address, port):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    deadline = time.monotonic() + PATIENCE
    with socket.socket(family, socket.SOCK_STREAM if protocol == 'tcp' else socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((address, port))
        while protocol == 'udp' and time.monotonic() < deadline:
            # A datagram may be lost on a busy machine.
            sock.settimeout(0.4)
            sock.send(b'?')
            try:
                return sock.recv(512).decode()
            except TimeoutError:
                pass
        return sock.recv(512).decode() or None if protocol == 'tcp' else None


def call_all(targets):
    answers = [None] * len(targets)

    def one(index, target):
        try:
            answers[index] = call(*target)
        except OSError:
            pass

    threads = [threading.Thread(target=one, args=(index, target)) for index, target in enumerate(targets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(answers))


if sys.argv[1] == 'serve':
    serve(sys.argv[2:])
else:
    call_all(json.loads(sys.argv[2]))
