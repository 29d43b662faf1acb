"""A tool's processes from outside: how long it takes, what it costs, and killing it."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_S = 0.5
"""Memory is looked at so often: peaks of the runs measured here last longer, and a look costs milliseconds."""
TAIL = 16 * 1024


@dataclass(frozen=True)
class Command:
    """What to start: `environment` goes on top of this process's."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Measured:
    """A run that has ended: by itself with `status`, or killed (None). CPU is user and system time of the whole tree."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    status: int | None
    said: str


class Running:
    """A started command, in a session of its own, killed with all that it started when the block is left early."""

    def __init__(self, command: Command, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._since = time.monotonic()
            self._process = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Of the first process, whose number is the session's."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to every process of the session."""
        for pid in session(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether its first process has ended, though nobody has waited for it yet."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, bound_s: float, others: Callable[[], Iterable[int]] = tuple) -> Measured:
        """Until it ends by itself, or is killed at the bound; `others` are processes whose memory belongs to it too."""
        deadline, peak, in_time = self._since + bound_s, 0, True
        watched = os.pidfd_open(self._process.pid)
        try:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            while not poll.poll(SAMPLE_S * 1000):
                peak = max(peak, sum(map(resident, {*session(self._process.pid), *others()})))
                if time.monotonic() > deadline:
                    in_time = False
                    self.kill()
        finally:
            os.close(watched)
        wall_s = time.monotonic() - self._since
        _, status, spent = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Measured(
            wall_s=wall_s,
            cpu_s=spent.ru_utime + spent.ru_stime,
            peak_mb=peak / 1024**2,
            status=self._process.returncode if in_time else None,
            said=tail(self._log),
        )


def session(leader: int) -> list[int]:
    """The processes of the leader's session, itself among them."""
    found = []
    for entry in Path("/proc").iterdir():
        # Gone meanwhile.
        with suppress(OSError):
            if entry.name.isdigit() and int(fields(entry / "stat")[3]) == leader:
                found.append(int(entry.name))
    return found


def resident(pid: int) -> int:
    """Bytes of memory held by a process, 0 once it is gone; pages that processes share count for each of them."""
    with suppress(OSError):
        return int(fields(Path(f"/proc/{pid}/stat"))[21]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def fields(stat: Path) -> list[str]:
    """What follows the name in `/proc/PID/stat` (proc(5)); the name may hold anything."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()


def tail(log: Path) -> str:
    """The end of what a program said."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        return file.read().decode(errors="replace")
