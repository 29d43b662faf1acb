"""On what something was measured, in words: figures of another machine are other figures."""

import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from deploy.embedded import parts


def cpu_model(lines: Iterable[str]) -> str:
    """From the lines of `/proc/cpuinfo`; some architectures name no model there."""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def version(program: parts.Binary, *arguments: str) -> str:
    """The version that the first line of a program's answer ends in: `nats-server: v2.9.10`, `db version v6.0.5`, `rclone v1.75.2`."""
    done = subprocess.run(
        [program.path, *arguments],
        env={**os.environ, **program.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[0].split()[-1].removeprefix("v")


def quiet(line: str) -> None:
    """The parts are there already: the stack runs."""


def describe() -> str:
    """Cores, memory, CPU, load, and the versions of what does the work."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    with Path("/proc/cpuinfo").open() as lines:
        cpu = cpu_model(lines)
    versions = {
        "Python": platform.python_version(),
        "nats-server": version(parts.nats_server(quiet), "--version"),
        "mongod": version(parts.mongod(quiet), "--version"),
        "rclone": version(parts.rclone(), "version"),
    }
    named = ", ".join(f"{name} {found}" for name, found in versions.items())
    return f"{cores} cores, {memory:.0f} GB, {cpu}; {named}"


def load() -> float:
    """Processes that ran or wanted to, on average over the last minute: other work on this machine shows here."""
    return os.getloadavg()[0]
