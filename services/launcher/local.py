"""Engines as processes on this machine, each under a keeper (`keeper.py`)."""

import asyncio
import os
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path

from services.launcher import processes
from services.launcher.backend import CannotStart, Ended, Launch, Port
from services.launcher.presence import Presence

KEEPER = Path(__file__).with_name("keeper.py")
GRACE_S = 10.0
"""Between SIGTERM and SIGKILL."""
MARGIN_S = 4.0
"""For the keeper, after the grace; the two together are less than the launcher itself has."""
CHUNK = 64 * 1024
READ_PAUSE_S = 0.02
"""Between two reads of what an engine prints: one that floods waits, instead of keeping the launcher busy."""


class LocalProcess:
    """See `backend.Process`."""

    def __init__(
        self,
        keeper: asyncio.subprocess.Process,
        launch: Launch,
        host: str,
        port: int,
        mark: str,
        folder: Path,
        presence: Presence,
    ) -> None:
        self._keeper = keeper
        self._launch = launch
        self._port = port
        self._mark = mark
        self._folder = folder
        self._presence = presence
        self.url = f"http://{host}:{port}"
        self._ended = asyncio.create_task(self._follow())

    async def port(self) -> Port:
        return await asyncio.to_thread(processes.listener, self._port, self._keeper.pid)

    async def ended(self) -> Ended:
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        if self._keeper.stdin:
            self._keeper.stdin.close()
        try:
            async with asyncio.timeout(GRACE_S + MARGIN_S):
                await self.ended()
        except TimeoutError:
            # The keeper hangs; without it what it has under it is found as after its death.
            self._keeper.kill()
            await self.ended()

    async def _follow(self) -> Ended:
        reading = asyncio.create_task(self._read())
        await _gone(self._keeper.pid)
        # Where the keeper itself was killed, it has seen to nothing; what is left holds the other end of what is read.
        await asyncio.to_thread(processes.end, self._mark, self._presence.started(self._keeper.pid))
        await reading
        code = await self._keeper.wait()
        self._presence.left(self._keeper.pid)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        return Ended(128 - code if code < 0 else code)

    async def _read(self) -> None:
        assert self._keeper.stdout
        while chunk := await self._keeper.stdout.read(CHUNK):
            self._launch.output(chunk)
            await asyncio.sleep(READ_PAUSE_S)


class LocalBackend:
    """See `backend.Backend`. `host` is where engines listen; `presence` remembers them for the launcher that comes after this one."""

    def __init__(self, home: Path, host: str, presence: Presence) -> None:
        self._home = home
        self._host = host
        self._presence = presence
        self._count = 0

    async def start(self, launch: Launch) -> LocalProcess:
        self._count += 1
        # The dot at the end keeps the mark of the first from being the beginning of the tenth's.
        mark = f"{self._presence.instance}.{self._count}."
        try:
            port = free_port(self._host)
        except OSError as error:
            raise CannotStart(f"nothing can listen at {self._host} (ASSAY_ENGINES_HOST): {error.strerror}") from error
        folder = self._home / "engines" / mark
        folder.mkdir(mode=0o700, parents=True)
        try:
            keeper = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(KEEPER), str(GRACE_S), *launch.command(self._host, port)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=folder,
                env={**launch.environment, processes.MARK: mark},
                start_new_session=True,
            )
        except OSError as error:
            with suppress(OSError):
                folder.rmdir()
            raise CannotStart(f"cannot start a process: {error.strerror}") from error
        self._presence.came(keeper.pid)
        return LocalProcess(keeper, launch, self._host, port, mark, folder, self._presence)


def free_port(host: str) -> int:
    """A port that nobody listens on at the moment; who takes it before the engine does is found out by `Process.port`."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def _gone(pid: int) -> None:
    """Returns when this process has ended, whoever holds its pipes: asyncio waits for those too, in some versions."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
