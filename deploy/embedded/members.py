"""The processes of a stack, found by the mark in their environment, whoever their parent is by now."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "ASSAY_STACK"
POLL_S = 0.05


def members(data: Path) -> list[int]:
    """Process ids of all that run for the stack of this (absolute) data folder, without this process."""
    mark = f"{MARK}={data}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # Gone meanwhile, or another user's.
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return sorted(found)


def gone(data: Path, timeout_s: float) -> bool:
    """Wait until the stack has no process any more; False if it still has one then."""
    deadline = time.monotonic() + timeout_s
    while members(data):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end(data: Path, grace_s: float) -> int:
    """End every process of the stack, the hard way after the grace; how many there were."""
    found = members(data)
    _signal(found, signal.SIGTERM)
    if not gone(data, grace_s):
        # Again and again: a supervisor that dies last may have started one more.
        while left := members(data):
            _signal(left, signal.SIGKILL)
            time.sleep(POLL_S)
    return len(found)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
