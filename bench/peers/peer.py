"""What a tool is here: how it is installed, started on a job, resumed, and what it left on disk."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol

from bench.fixtures import BenchError
from bench.peers.processes import Command
from deploy.embedded.parts import cache_folder

INSTALL_S = 900.0
CLOSED = "http://127.0.0.1:9"
"""Nothing listens there (RFC 863's port): what a tool would tell its makers or look up at a hub ends on this machine."""


@dataclass(frozen=True)
class Job:
    """One evaluation of the `items` (JSONL) with its own empty `folder`. `resumable`: it will be killed."""

    folder: Path
    items: Path
    base_url: str
    model: str
    connections: int
    timeout_s: int
    resumable: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a tool wrote: items with a score, the right ones among them, and those it says it got no answer to."""

    scored: int
    right: int
    errors: int = 0


class Peer(Protocol):
    """A tool. `name` selects it on the command line, `title` is what the tables call it."""

    name: str
    title: str

    def install(self) -> None:
        """Raises `BenchError` with the last line of what the installer said."""
        ...

    def version(self) -> str: ...

    def command(self, job: Job) -> Command:
        """Writes what it needs into the job's folder."""
        ...

    def resumed(self, job: Job) -> Command:
        """How its documentation says to go on after it was killed. Raises `BenchError` where there is nothing to go on with."""
        ...

    def outcome(self, job: Job) -> Outcome | None:
        """None where it wrote no scores."""
        ...


def files(name: str) -> Path:
    """What a tool is given: its pinned requirements, its task."""
    return Path(__file__).parent / "files" / name


def home(name: str) -> Path:
    """Where a peer is installed, for all checkouts of this user."""
    return cache_folder() / "peers" / name


def environment(job: Job, **more: str) -> dict[str, str]:
    """For a tool's process: a home of its own, and no way out of this machine."""
    place = job.folder / "home"
    place.mkdir(exist_ok=True)
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), CLOSED)
    opened = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return {"HOME": str(place), "XDG_CACHE_HOME": str(place), "XDG_DATA_HOME": str(place), **closed, **opened, **more}


def run(arguments: Sequence[str], log: Path, folder: Path, more: Mapping[str, str] | None = None) -> None:
    """A step of an installation. Raises `BenchError` with the last line it said."""
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                arguments,
                cwd=folder,
                env={**os.environ, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_S,
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"not installed within {INSTALL_S:.0f} s") from None
        except OSError as error:
            raise BenchError(str(error)) from error
    if done.returncode:
        said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise BenchError(said[-1] if said else f"status {done.returncode}")


def install_once(
    name: str, wanted: Path, steps: Sequence[Sequence[str]], more: Mapping[str, str] | None = None
) -> None:
    """Runs the steps in the peer's emptied folder, unless the same `wanted` file has been installed there already."""
    place = home(name)
    stamp, digest = place / ".installed", hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copy(wanted, place)
    for step in steps:
        run(step, place / "install.log", place, more)
    stamp.write_text(digest)


class Venv:
    """A virtual environment of a peer's own, made of the `requirements.txt` beside its module."""

    def __init__(self, name: str, distribution: str, requirements: Path) -> None:
        self._name, self._distribution, self._requirements = name, distribution, requirements

    def install(self) -> None:
        pip = [str(self.program("python")), "-m", "pip", "install", "--disable-pip-version-check", "-q"]
        make = [sys.executable, "-m", "venv", str(home(self._name) / "venv")]
        install_once(self._name, self._requirements, [make, [*pip, "-r", "requirements.txt"]])

    def program(self, name: str) -> Path:
        return home(self._name) / "venv" / "bin" / name

    def version(self) -> str:
        places = [str(path) for path in (home(self._name) / "venv").glob("lib/python*/site-packages")]
        return next(iter(metadata.distributions(name=self._distribution, path=places))).version
