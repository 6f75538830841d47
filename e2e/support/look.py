"""What a container sees of its Pod, as JSON.

look.py FOLDER ...   the folders are those of volumes, whose files are read
"""
import json, os, pathlib, socket, sys


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError as error:
        return f'errno {error.errno}'


def files(folder):
    """The kubelet's own folders, `..data` and the like, have the time in their name."""
    for path in sorted(pathlib.Path(folder).rglob('*')):
        if any(part.startswith('..') for part in path.parts) or path.is_dir():
            continue
        status = path.stat()
        yield f'{path} {status.st_mode & 0o777:o} {status.st_uid}:{status.st_gid} {read(path)}'


def mounts():
    """Whose source is the node's disk is the same wherever on it the folder is."""
    for line in read('/proc/self/mountinfo').splitlines():
        fields = line.split()
        target, options, kind = fields[4], fields[5].split(','), fields[fields.index('-') + 1]
        if not target.startswith(('/proc', '/sys', '/dev/pts')):
            yield f"{target} {kind} {'ro' if 'ro' in options else 'rw'}"


def status():
    wanted = ('Uid', 'Gid', 'Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp')
    return [line for line in read('/proc/self/status').splitlines() if line.split(':')[0] in wanted]


print(json.dumps({
    'environment': dict(sorted(os.environ.items())),
    'names': [socket.gethostname(), socket.getfqdn(), read('/etc/hostname')],
    'hosts': read('/etc/hosts'),
    'resolver': read('/etc/resolv.conf'),
    'volumes': [line for folder in sys.argv[1:] for line in files(folder)],
    'mounts': sorted(mounts()),
    'identity': [*status(), os.getcwd(), read('/proc/1/cmdline')],
    'limits': [read(f'/sys/fs/cgroup/{name}') for name in ('memory.max', 'cpu.max', 'cpu.weight')] + [read('/proc/self/limits')],
}))
