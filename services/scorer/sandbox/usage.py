"""What the processes of a sandbox use, seen from outside through its own `/proc`, which lists just them."""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass

from services.scorer.sandbox.bubblewrap import SHARED_MEMORY, TMP

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """`tasks` counts threads; `cpu_s` includes what its children that ended have used."""

    tasks: int
    cpu_s: float
    memory_bytes: int


def usage(root: str, most_tasks: int, most_memory: int) -> Usage | None:
    """Of the sandbox whose root folder is `root` (`/proc/PID/root`), or None when it has ended.

    Memory is what is resident, and where that exceeds `most_memory`, the proportional share: pages that processes have in common count once.
    Counting ends with more than `most_tasks`.
    """
    tasks, ticks, resident = 0, 0, 0
    processes = _processes(root)
    if processes is None:
        return None
    for process in processes:
        try:
            with open(f"{process}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            with open(f"{process}/statm", "rb") as file:
                resident += int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            continue
        ticks += sum(map(int, fields[11:15]))
        # The first is bubblewrap's own.
        if process != processes[0]:
            tasks += int(fields[17])
        if tasks > most_tasks:
            break
    files = sum(_filled(f"{root}{folder}") for folder in (TMP, SHARED_MEMORY))
    if resident + files > most_memory and tasks <= most_tasks:
        shares = [_share(process) for process in processes]
        # Shared memory is for the most part what lies in those folders, but need not.
        return Usage(
            tasks, ticks / _TICKS, sum(own for _, own in shares) + max(files, sum(shared for shared, _ in shares))
        )
    return Usage(tasks, ticks / _TICKS, resident + files)


def unlinked(root: str, devices: Collection[int]) -> int:
    """Bytes on `devices` of files that have no name any more and are open in the sandbox: no walk through folders finds them."""
    seen: dict[tuple[int, int], int] = {}
    for process in _processes(root) or ():
        try:
            names = os.listdir(f"{process}/fd")
        except OSError:
            continue
        for name in names:
            try:
                found = os.stat(f"{process}/fd/{name}")
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode) and not found.st_nlink and found.st_dev in devices:
                seen[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(seen.values())


def _processes(root: str) -> list[str] | None:
    try:
        return [f"{root}/proc/{name}" for name in os.listdir(f"{root}/proc") if name.isdigit()]
    except OSError:
        return None


def _filled(folder: str) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _share(process: str) -> tuple[int, int]:
    """Bytes of the proportional set: that of shared memory, and the rest."""
    sizes = {b"Pss": 0, b"Pss_Shmem": 0}
    try:
        with open(f"{process}/smaps_rollup", "rb") as file:
            for line in file:
                name, _, rest = line.partition(b":")
                if name in sizes:
                    sizes[name] = int(rest.split()[0]) * 1024
    except OSError:
        return 0, 0
    return sizes[b"Pss_Shmem"], sizes[b"Pss"] - sizes[b"Pss_Shmem"]
