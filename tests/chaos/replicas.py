"""Second replicas of services that the embedded stack runs once, started by hand as an operator would, and again when they die."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from deploy.embedded.programs import SERVICES
from tests.running import ROOT, RunningStack

PAUSE_S = 0.5


class Replicas:
    """As a context: one more process of each of `services`, called `<service>-extra`, its log beside the stack's."""

    def __init__(self, running: RunningStack, services: Sequence[str]) -> None:
        self._running = running
        self._over = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = [threading.Thread(target=self._keep, args=(service,)) for service in services]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            while thread.is_alive():
                # Again: one may have been started in this very moment.
                for process in list(self._processes.values()):
                    process.terminate()
                thread.join(PAUSE_S)

    def pids(self) -> dict[str, int]:
        """Of those that run now."""
        return {name: process.pid for name, process in list(self._processes.items()) if process.poll() is None}

    def _keep(self, service: str) -> None:
        name = f"{service}-extra"
        environment = {"PATH": os.environ["PATH"], **self._running.embedded.environment}
        command = [sys.executable, "-m", SERVICES[service]]
        with (self._running.data / "logs" / f"{name}.log").open("ab") as log:
            while not self._over.is_set():
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
                self._processes[name] = process
                process.wait()
                self._over.wait(PAUSE_S)
