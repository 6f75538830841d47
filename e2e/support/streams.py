"""Traffic that goes on: whoever loses a byte of it notices.

streams.py serve PROTOCOL:PORT ...                  says its name to whoever connects, and echoes
streams.py stream STOP NAME=PROTOCOL:ADDRESS:PORT ...   one connection each, numbered messages until the file STOP is there;
                                                    prints for each how many were sent and answered, and what ended it
"""
import json, os, signal, socket, sys, threading, time

BETWEEN = 0.01
PATIENCE = 5.0
END = time.monotonic() + 200


def echo_tcp(port):
    server = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)

    def serve(connection):
        with connection:
            try:
                connection.sendall(f'{os.environ.get("AGENT", "")}\n'.encode())
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                pass

    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


def echo_udp(port):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(('::', port))
    while True:
        try:
            data, peer = sock.recvfrom(4096)
            sock.sendto(data, peer)
        except OSError:
            pass


def stream_tcp(address, port, stop, result):
    with socket.create_connection((address, port), PATIENCE) as sock:
        lines = sock.makefile('r')
        lines.readline()
        while not stop():
            result['sent'] += 1
            sock.sendall(f'{result["sent"]}\n'.encode())
            if lines.readline().strip() != str(result['sent']):
                raise OSError('another answer, or none')
            result['answered'] += 1
            time.sleep(BETWEEN)


def stream_udp(address, port, stop, result):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        sock.settimeout(BETWEEN)
        waiting = set()
        until = None
        while until is None or (waiting and time.monotonic() < until):
            if until is None and stop():
                until = time.monotonic() + 1
            try:
                if until is None:
                    result['sent'] += 1
                    waiting.add(result['sent'])
                    sock.send(str(result['sent']).encode())
                began = time.monotonic()
                while (left := BETWEEN - (time.monotonic() - began)) > 0:
                    sock.settimeout(left)
                    waiting.discard(int(sock.recv(64)))
            except TimeoutError:
                pass
            except OSError:
                time.sleep(BETWEEN)  # nobody listens there, and the kernel says so
        result['answered'] = result['sent'] - len(waiting)


def stream(stop_file, specs):
    results = {}

    def one(spec, result):
        protocol, rest = spec.split(':', 1)
        address, port = rest.rsplit(':', 1)
        stop = lambda: os.path.exists(stop_file) or time.monotonic() > END
        try:
            (stream_tcp if protocol == 'tcp' else stream_udp)(address, int(port), stop, result)
        except OSError as error:
            result['error'] = repr(error)

    threads = []
    for entry in specs:
        name, spec = entry.split('=', 1)
        results[name] = {'sent': 0, 'answered': 0, 'error': None}
        threads.append(threading.Thread(target=one, args=(spec, results[name])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(results))


if sys.argv[1] == 'serve':
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for spec in sys.argv[2:]:
        protocol, port = spec.split(':')
        threading.Thread(target=echo_tcp if protocol == 'tcp' else echo_udp, args=(int(port),), daemon=True).start()
    signal.pause()
else:
    stream(sys.argv[2], sys.argv[3:])
