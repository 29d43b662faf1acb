"""Keeps one engine, and leaves nothing of it: `python -I -S keeper.py GRACE_S COMMAND...`, with the standard library alone.

The engine runs as a child of this process, which adopts whatever that starts and leaves behind (`PR_SET_CHILD_SUBREAPER`, prctl(2)). When
standard input ends, since the launcher wants the engine stopped or is itself gone, however it went, the engine gets SIGTERM, and after
the grace everything that is left SIGKILL. When the engine ends by itself, so does all that it started. The exit code is the engine's, 128 and
the signal's number where one killed it, as a shell says it.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.02
CANNOT_START = 127


def main(grace_s: float, command: list[str]) -> int:
    """Run the command until it ends or standard input does; the exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    ended, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)

    def with_us() -> None:
        # Should this process be killed, at least the engine itself goes with it.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)

    try:
        engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=with_us)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", flush=True)
        return CANNOT_START
    code = None
    while code is None and not stopped:
        ready, _, _ = select.select([sys.stdin.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 512)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 512):
            stopped = True
        code = _reap(engine.pid)
    if code is None:
        os.kill(engine.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while code is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            code = _reap(engine.pid)
    pause_s = _POLL_S
    while left := _descendants(os.getpid()):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # What waits for a device dies when that answers.
        time.sleep(pause_s)
        pause_s = min(1.0, pause_s * 1.5)
        found = _reap(engine.pid)
        code = found if code is None else code
    return 0 if code is None else code


def _reap(engine: int) -> int | None:
    """Take leave of every child that has ended; the engine's exit code if it is one of them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not pid:
            return code
        if pid == engine:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code


def _descendants(root: int) -> list[int]:
    """All that this process has under it. What loses its parent comes to this process, so nothing gets away."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                # The name in parentheses may hold anything, parentheses too.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found, fresh = [], [root]
    while fresh:
        fresh = [pid for pid, parent in parents.items() if parent in fresh]
        found += fresh
    return found


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
