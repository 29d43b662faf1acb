"""What a launcher leaves in its data folder, so that the next one there ends what this one could not: a SIGKILL of a launcher and of its
keepers at once leaves engines that nobody knows.

`launchers/<instance>` is locked while that launcher lives (flock(2): the kernel lets go of the lock when it dies, however), and has a line
for each engine: the boot, the leader of its session, and when that was started.
"""

import fcntl
import logging
import shutil
from pathlib import Path

from services.launcher import processes

logger = logging.getLogger("assay.launcher")

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Presence:
    def __init__(self, home: Path, instance: str) -> None:
        self.instance = instance
        self._home = home
        self._folder = home / "launchers"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
        self._engines: dict[int, int] = {}
        self._file = (self._folder / instance).open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def came(self, leader: int) -> None:
        """An engine runs in the session of this process."""
        if one := processes.stat(leader):
            self._engines[leader] = one.started
            self._write()

    def left(self, leader: int) -> None:
        """Nothing of it is left."""
        self._engines.pop(leader, None)
        self._write()

    def started(self, leader: int) -> dict[int, int]:
        """When the leader of an engine's session was started, as `processes.end` takes it."""
        return {leader: self._engines[leader]} if leader in self._engines else {}

    def sweep(self) -> set[str]:
        """End what launchers of this folder left that are no more; their instances."""
        dead = set()
        for path in self._folder.iterdir():
            if path.name == self.instance:
                continue
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                lines = [line.split() for line in file.read().splitlines()]
                sessions = {int(leader): int(started) for boot, leader, started in lines if boot == self._boot}
                if ended := processes.end(f"{path.name}.", sessions):
                    logger.warning("ended %d processes of engines whose launcher %s is gone", ended, path.name)
                for folder in (self._home / "engines").glob(f"{path.name}.*"):
                    shutil.rmtree(folder, ignore_errors=True)
                dead.add(path.name)
                path.unlink(missing_ok=True)
        return dead

    def close(self) -> None:
        (self._folder / self.instance).unlink(missing_ok=True)
        self._file.close()

    def _write(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.writelines(f"{self._boot} {leader} {started}\n" for leader, started in self._engines.items())
        self._file.flush()
