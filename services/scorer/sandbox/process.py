"""The program's process: started within bubblewrap or without, killed with all that it started, reaped."""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO

from services.scorer.sandbox import seccomp
from services.scorer.sandbox.bubblewrap import NOBODY
from services.scorer.sandbox.limits import NoSandbox

SETUP_S = 30.0
"""A sandbox is there within milliseconds; a machine that needs longer than this has something wrong with it."""

KILLED_S = 10.0
"""What was killed is gone at once; bubblewrap then ends by itself."""

_PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""


class Process:
    """`confinement` is bubblewrap with its options, or empty for none; `launch` the interpreter and `launch.py`; `limits` those of a
    process, by their names in setrlimit(2).

    Raises:
        NoSandbox: bubblewrap cannot be run.
    """

    def __init__(
        self,
        confinement: Sequence[str],
        launch: Sequence[str],
        command: Sequence[str],
        *,
        folder: str,
        limits: Mapping[str, int],
        drops: bool,
        environment: Mapping[str, str],
    ) -> None:
        _adopt_orphans()
        self._pipes: list[int] = []
        self._first: int | None = None
        """The process of which the namespace's others all descend: they end with it."""
        self.root: str | None = None
        """The sandbox's root folder as this machine sees it."""
        self._info, info_in = self._pipe()
        mapped, self._mapped = self._pipe()
        self._drops = drops
        self._confined = bool(confinement)
        self._started, started_in = self._pipe()
        self._reached = False
        os.set_blocking(self._started, False)
        passed = [started_in]
        options = list(confinement)
        if confinement:
            options += ["--info-fd", str(info_in)]
            passed.append(info_in)
            if drops:
                options += ["--userns-block-fd", str(mapped)]
                passed.append(mapped)
            if (rules := seccomp.program()) is not None:
                filter_, filter_in = self._pipe()
                os.write(filter_in, rules)
                options += ["--seccomp", str(filter_)]
                passed.append(filter_)
                self._close(filter_in)
            options.append("--")
        user = str(NOBODY) if confinement and drops else ""
        order = [str(started_in), user, folder, *(f"{name}={most}" for name, most in limits.items())]
        try:
            self._process = subprocess.Popen(
                [*options, *launch, *order, "--", *command],
                # The program can read what bubblewrap itself was started with: nothing.
                env={} if confinement else dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=passed,
                start_new_session=True,
            )
        except OSError as error:
            self.close()
            raise NoSandbox(f"{(options or launch)[0]} cannot be run: {error.strerror}") from error
        self._close(*passed)
        self.ended = os.pidfd_open(self._process.pid)
        """Readable when it has ended."""

    @property
    def streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdout
        assert self._process.stderr
        return self._process.stdout, self._process.stderr

    def enter(self) -> None:
        """Learn the first process of the namespace, and give the namespace its two users. The program starts then, not before.

        Raises:
            NoSandbox: this machine does not allow it.
        """
        if not self._confined:
            return
        told = b""
        while not told.rstrip().endswith(b"}"):
            ready, _, _ = select.select([self._info], [], [], SETUP_S)
            chunk = os.read(self._info, 4096) if ready else b""
            if not chunk:
                # It has said why on its standard error.
                return
            told += chunk
        first = json.loads(told)["child-pid"]
        try:
            self._first, self._first_id = os.pidfd_open(first), first
            if self._drops:
                for kind in ("uid", "gid"):
                    with open(f"/proc/{first}/{kind}_map", "w") as file:
                        file.write(f"0 0 1\n{NOBODY} {NOBODY} 1\n")
                os.write(self._mapped, b"1")
        except ProcessLookupError:
            return
        except OSError as error:
            raise NoSandbox(f"the sandbox cannot be given its users: {error}") from error
        self.root = f"/proc/{first}/root"

    def kill(self) -> None:
        """It and whatever it started, however that hides."""
        with contextlib.suppress(ProcessLookupError):
            if self._first is not None:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> tuple[int, float]:
        """Until all are gone: the exit code (128 + the signal that ended it) and the seconds of CPU time of all of its processes."""
        if not select.select([self.ended], [], [], KILLED_S)[0]:
            self._process.kill()
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = code = os.waitstatus_to_exitcode(status)
        cpu_s = used.ru_utime + used.ru_stime
        if self._first is not None:
            # bubblewrap does not wait for it, and it ends after all others. It is a child of this process now.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self._first, os.WEXITED | os.WNOWAIT)
                _, _, used = os.wait4(self._first_id, 0)
                cpu_s += used.ru_utime + used.ru_stime
        elif not self._confined:
            # What it had started and was killed with it.
            with contextlib.suppress(ChildProcessError):
                while True:
                    _, _, used = os.wait4(-self._process.pid, 0)
                    cpu_s += used.ru_utime + used.ru_stime
        return code if code >= 0 else 128 - code, cpu_s

    def has_started(self) -> bool:
        """Whether the program itself was reached: until then it is bubblewrap that speaks."""
        if not self._reached:
            with contextlib.suppress(BlockingIOError):
                self._reached = bool(os.read(self._started, 1))
        return self._reached

    def close(self) -> None:
        self._close(*self._pipes)
        if hasattr(self, "_process"):
            for stream in self.streams:
                stream.close()
            os.close(self.ended)
        if self._first is not None:
            os.close(self._first)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._pipes += ends
        return ends

    def _close(self, *ends: int) -> None:
        for end in ends:
            os.close(end)
        self._pipes = [end for end in self._pipes if end not in ends]


@cache
def _adopt_orphans() -> None:
    """What a child of this process leaves behind becomes its own child: so it can be waited for, and no zombie stays."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
