"""Processes of this machine as /proc shows them (proc(5)): which belong to an engine, and who listens on a port."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.launcher.backend import Port

logger = logging.getLogger("assay.launcher")

MARK = "ASSAY_ENGINE"
"""In the environment of every engine, and so of what it starts: `<launcher's instance>.<number>.`."""
PATIENCE_S = 10.0
_PROC = Path("/proc")
_LISTEN = "0A"
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Stat:
    pid: int
    parent: int
    session: int
    started: int
    """Clock ticks after the boot: with the pid it tells a process from a later one of the same number."""


def end(mark: str, sessions: dict[int, int]) -> int:
    """Kill all that carries a mark that begins so, or is in one of these sessions (leader -> when that started); how many there were.
    What cannot be killed, since it waits for a device or is another user's, is given up after `PATIENCE_S`.

    Both, since a process may leave its session, and one that gives itself a title writes over its environment (setproctitle).
    """
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while left := [one.pid for one in stats() if _belongs(one, mark.encode(), sessions)]:
        found.update(left)
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            logger.warning("processes of engines cannot be killed: %s", ", ".join(map(str, left)))
            break
        time.sleep(_PAUSE_S)
    return len(found)


def _belongs(one: Stat, mark: bytes, sessions: dict[int, int]) -> bool:
    if one.pid == os.getpid():
        return False
    if one.session in sessions and one.started >= sessions[one.session]:
        leader = stat(one.session)
        # A number that another leader has got meanwhile stands for another session.
        if leader is None or leader.started == sessions[one.session]:
            return True
    with suppress(OSError):
        environment = (_PROC / str(one.pid) / "environ").read_bytes().split(b"\0")
        return any(entry.startswith(MARK.encode() + b"=" + mark) for entry in environment)
    return False


def stat(pid: int) -> Stat | None:
    """None where there is no such process, or only what waits to be reaped."""
    try:
        # The name in parentheses may hold anything, parentheses too.
        state, *fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if state in "ZX" else Stat(pid, int(fields[0]), int(fields[2]), int(fields[18]))
    except (OSError, ValueError, IndexError):
        return None


def stats() -> Iterator[Stat]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (one := stat(int(entry.name))):
            yield one


def listener(port: int, root: int) -> Port:
    """Who listens on a TCP port of this machine: a process under `root`, another one, or nobody."""
    sockets = _listening(port)
    if not sockets:
        return Port.NOBODY
    parents = {one.pid: one.parent for one in stats()}
    for pid in parents:
        if _is_under(pid, root, parents) and sockets & _sockets(pid):
            return Port.ENGINE
    return Port.ANOTHER


def _listening(port: int) -> set[str]:
    """The inodes of listening sockets, as `/proc/<pid>/fd` names them."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _is_under(pid: int, root: int, parents: dict[int, int]) -> bool:
    for _ in range(64):
        if pid == root:
            return True
        pid = parents.get(pid, 0)
    return False


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(entry))
    return found
