"""TCP ports on this machine."""

import errno
import random
import socket
from pathlib import Path

from deploy.embedded.errors import StackError

LOOPBACK = "127.0.0.1"
LOWEST = 10240
RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def taken(host: str, port: int) -> bool:
    """Whether something listens there.

    Raises:
        StackError: this process may not listen there at all (a low port, an address of another machine).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do it: connections of a former server that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise StackError(f"cannot listen on {host}:{port} (ASSAY_HOST, ASSAY_PORT): {error.strerror}") from error
    return False


def free(count: int) -> list[int]:
    """`count` different ports on the loopback address that nobody listens on.

    They lie below the range from which the kernel takes ports for outgoing connections. Inside it, a server killed
    and started again would now and then find its port taken by some client.
    """
    highest = int(RANGE_FILE.read_text().split()[0]) if RANGE_FILE.exists() else 32768
    candidates = list(range(LOWEST, highest if highest > LOWEST + 1000 else 60000))
    random.shuffle(candidates)
    found = []
    for port in candidates:
        if not taken(LOOPBACK, port):
            found.append(port)
        if len(found) == count:
            return found
    raise StackError(f"no {count} free ports on {LOOPBACK}")
