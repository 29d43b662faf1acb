"""The sandbox of this machine, built once."""

import asyncio
import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.scorer.sandbox import bubblewrap
from services.scorer.sandbox.limits import Finished, Limits, MiB, Mount, NoSandbox
from services.scorer.sandbox.lines import OnLine, Stream
from services.scorer.sandbox.process import Process
from services.scorer.sandbox.run import Run, Say
from services.scorer.sandbox.unconfined import translated
from shared.settings import Settings

_ENVIRONMENT = {
    "HOME": bubblewrap.TMP,
    "TMPDIR": bubblewrap.TMP,
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Sandbox:
    """Runs programs confined by bubblewrap, which is at `bwrap`; at most `at_once` at a time, the others wait.

    `python` is the interpreter that they find as `python3`, by default the deployment's own; `hidden` are folders that nobody sees
    even where they lie in a folder that is shown. With `unconfined` programs run with the rights of this process, and only its limits of
    time, files and log hold.
    """

    def __init__(
        self,
        bwrap: Path | None,
        *,
        python: Path | None = None,
        unconfined: bool = False,
        hidden: Sequence[Path] = (),
        at_once: int | None = None,
    ) -> None:
        self._bwrap = bwrap
        self._unconfined = unconfined
        self._wrong: str | None = None
        try:
            self._interpreter = bubblewrap.interpreter(_prefixes(python))
        except NoSandbox as error:
            self._interpreter, self._wrong = [], str(error)
        self.python = str(python or sys.executable)
        """Absolute path of the interpreter, inside as outside."""
        self._path = f"{Path(self.python).parent}:/usr/local/bin:/usr/bin:/bin"
        shown = [Path("/usr"), *(mount.source for mount in self._interpreter)]
        self._hidden = [path.resolve() for path in hidden if any(path.resolve().is_relative_to(top) for top in shown)]
        self._drops = bubblewrap.drops_root()
        self.at_once = at_once or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self.at_once, "sandbox")
        self._cancelled: set[threading.Event] = set()
        """Of each run that is not over."""
        self._tried = False

    @classmethod
    def of(cls, settings: Settings) -> "Sandbox":
        """As the deployment has it; a bwrap that is not there shows in `missing`, and stops nothing else."""
        found = shutil.which("bwrap")
        return cls(
            settings.bwrap or (Path(found) if found else None),
            python=settings.program_python,
            unconfined=settings.sandbox != "bubblewrap",
            hidden=[settings.data],
        )

    @property
    def missing(self) -> str | None:
        """Why nothing can be run here and what would help, as far as that shows without a try."""
        if self._wrong or self._bwrap or self._unconfined:
            return self._wrong
        return (
            "there is no sandbox on this machine to run programs in: install bubblewrap (`apt install bubblewrap`), "
            "or say in ASSAY_BWRAP where bwrap is"
        )

    async def problem(self) -> str | None:
        """Why nothing can be run here, found out by a try, until one works."""
        if not self._tried:
            limits = Limits(wall_s=30, cpu_s=10, memory_bytes=256 * MiB)
            try:
                await self.run(["true"], mounts=[], folder="/", environment={}, limits=limits, on_line=lambda *_: None)
            except NoSandbox as error:
                return str(error)
            self._tried = True
        return None

    async def run(
        self,
        command: Sequence[str],
        *,
        mounts: Sequence[Mount],
        folder: str,
        environment: Mapping[str, str],
        limits: Limits,
        on_line: OnLine,
    ) -> Finished:
        """Run `command` in `folder` with nothing of this machine but its programs (/usr), the interpreter, and `mounts`.

        `environment` is added to a small one of the sandbox's own, with `PATH`. `on_line` gets what is said, line by line. When this is
        cancelled, the program is killed. Writable sources must be empty folders; others must be readable for all users.

        Raises:
            NoSandbox: programs cannot be confined here; nothing was run.
        """
        if self.missing:
            raise NoSandbox(self.missing)
        loop = asyncio.get_running_loop()

        def say(stream: Stream, lines: list[str]) -> None:
            loop.call_soon_threadsafe(_each, on_line, stream, lines)

        cancelled = threading.Event()
        self._cancelled.add(cancelled)
        job = self._threads.submit(self._run, command, mounts, folder, environment, limits, say, cancelled)
        running = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled.set()
            if not job.cancel():
                with contextlib.suppress(Exception):
                    await running
            raise
        finally:
            self._cancelled.discard(cancelled)

    def _run(
        self,
        command: Sequence[str],
        mounts: Sequence[Mount],
        folder: str,
        environment: Mapping[str, str],
        limits: Limits,
        say: Say,
        cancelled: threading.Event,
    ) -> Finished:
        environment = {"PATH": self._path, **_ENVIRONMENT, **environment}
        confinement: list[str] = []
        if self._unconfined:
            command = [translated(argument, mounts) for argument in command]
            environment = {name: translated(value, mounts) for name, value in environment.items()}
            folder = translated(folder, mounts)
        else:
            self._hand_over(mounts)
            confinement = [
                str(self._bwrap),
                *bubblewrap.arguments(
                    [*self._interpreter, bubblewrap.LAUNCH, *mounts],
                    environment=environment,
                    scratch_bytes=limits.memory_bytes,
                    hidden=self._hidden,
                    drops=self._drops,
                ),
            ]
        launch = bubblewrap.LAUNCH.source if self._unconfined else bubblewrap.LAUNCH.target
        process = Process(
            confinement,
            [self.python, "-I", "-S", str(launch)],
            command,
            folder=folder,
            limits=_of_a_process(limits, confined=not self._unconfined),
            drops=self._drops,
            environment=environment,
        )
        try:
            return Run(process, limits, [mount.source for mount in mounts if mount.writable], say, cancelled).follow()
        finally:
            process.close()

    def _hand_over(self, mounts: Sequence[Mount]) -> None:
        """Writable folders to the program's user; that he can read the others is the caller's to see to."""
        for mount in mounts if self._drops else ():
            mode = mount.source.stat().st_mode
            if mount.writable:
                os.chown(mount.source, bubblewrap.NOBODY, bubblewrap.NOBODY)
            elif not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH):
                raise ValueError(f"{mount.source} is to be read in the sandbox, and is not readable for all users")

    def close(self) -> None:
        """Start nothing more, and kill what runs."""
        for cancelled in self._cancelled:
            cancelled.set()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _each(on_line: OnLine, stream: Stream, lines: Sequence[str]) -> None:
    for line in lines:
        on_line(stream, line)


def _of_a_process(limits: Limits, *, confined: bool) -> dict[str, int]:
    """Nets beneath what is watched, for each process by itself: a bomb may be quicker than the next look at it."""
    most = {
        "CPU": int(limits.cpu_s) + 2,
        "DATA": 2 * limits.memory_bytes,
        "FSIZE": limits.file_bytes,
        "NOFILE": 512,
        "CORE": 0,
        "MSGQUEUE": 0,
    }
    # Without a namespace it would count all processes of the user.
    return {**most, "NPROC": limits.processes + 32} if confined else most


def _prefixes(python: Path | None) -> list[str]:
    """The folders that an interpreter lives in; another one than this must be asked."""
    if python is None:
        return [sys.prefix, sys.base_prefix]
    asked = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix]))"
    try:
        said = subprocess.run(
            [python, "-I", "-c", asked], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoSandbox(f"ASSAY_PROGRAM_PYTHON is {python}, which does not run as a Python: {error}") from error
    prefixes: list[str] = json.loads(said)
    return prefixes
