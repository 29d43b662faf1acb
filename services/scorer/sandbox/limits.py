"""What a run is given, and how it ended."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import AssayError

MiB = 1024**2


class NoSandbox(AssayError):
    """Programs cannot be confined on this machine; says what to install or to set."""


@dataclass(frozen=True)
class Limits:
    """Of one run, over all of its processes together.

    `wall_s` and `cpu_s` are seconds. `memory_bytes` counts what its processes hold and what lies in its `/tmp`; `processes` counts
    threads, too. `file_bytes` is the largest size of one file, `output_bytes` that of its writable folders, with at most `files` entries.
    `log_bytes` is for standard output and error, where a line counts as 100 bytes at least.
    """

    wall_s: float
    cpu_s: float
    memory_bytes: int
    processes: int = 64
    file_bytes: int = 1024 * MiB
    output_bytes: int = 2048 * MiB
    log_bytes: int = 16 * MiB
    files: int = 10_000


@dataclass(frozen=True)
class Mount:
    """A folder (or file) of the machine that the program finds at `target`, an absolute path. A writable one is an empty folder at first."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Finished:
    """`exit_code` is the program's, or 128 + the signal that ended it; None where it was stopped, and then `stopped` says why, in a
    sentence about "it". `cpu_s` includes the sandbox's own setup, some milliseconds."""

    exit_code: int | None
    stopped: str | None
    wall_s: float
    cpu_s: float
