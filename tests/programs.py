"""Runs programs in the real sandbox: bubblewrap as the embedded stack gets it."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.embedded import parts
from services.scorer.sandbox import Finished, Limits, Mount, Sandbox
from services.scorer.sandbox.limits import MiB

LIMITS = Limits(
    wall_s=20,
    cpu_s=10,
    memory_bytes=256 * MiB,
    processes=32,
    file_bytes=16 * MiB,
    output_bytes=64 * MiB,
    log_bytes=1 * MiB,
    files=500,
)


def bwrap() -> Path:
    """bubblewrap's program.

    Fails the test where it cannot be got: these are never skipped, since what they try is what keeps a machine safe.
    """
    said: list[str] = []
    found = parts.bubblewrap(said.append)
    if found is None:
        pytest.fail(" ".join(said))
    return found


@dataclass
class Ran:
    """How a run ended and what it said. `out` and `err` are its lines; `folder` is its writable one, `/app/output` inside."""

    finished: Finished
    folder: Path
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)


async def run_python(
    sandbox: Sandbox, code: str, folder: Path, limits: Limits = LIMITS, environment: dict[str, str] | None = None
) -> Ran:
    """Run Python code whose folder is `/app/output`; its own, read-only, is `/app/program`."""
    program, output = folder / "program", folder / "output"
    for made in (program, output):
        made.mkdir(exist_ok=True)
    (program / "main.py").write_text(code)
    said: dict[str, list[str]] = {"stdout": [], "stderr": []}
    finished = await sandbox.run(
        ["python3", "/app/program/main.py"],
        mounts=[Mount(program, "/app/program"), Mount(output, "/app/output", writable=True)],
        folder="/app/output",
        environment=environment or {},
        limits=limits,
        on_line=lambda stream, line: said[stream].append(line),
    )
    return Ran(finished, output, said["stdout"], said["stderr"])


def processes_with(mark: str) -> list[int]:
    """Processes of this machine whose environment holds `mark`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment:
                found.append(int(name))
    return found
