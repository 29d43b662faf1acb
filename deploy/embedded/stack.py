"""The embedded stack: every part as a child process on this machine, with all data in one folder.

`ASSAY_DATA` holds `nats/`, `mongo/`, `objects/` (the stores), `launcher/` (checkpoints from S3), `logs/`, `credentials.json` (kept), and
while the stack runs `stack.json` (addresses and secrets) and `stack.env` (settings with which one more service can be started by hand).
"""

import fcntl
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from deploy.embedded import members, parts, ports, probes, programs, record
from deploy.embedded.control import Control, PartStatus
from deploy.embedded.errors import StackError

__all__ = ["PartStatus", "Stack", "StackError"]

UP_TIMEOUT_S = 60.0
DOWN_TIMEOUT_S = 90.0
GRACE_S = 15.0
"""For what a crashed stack left running, before it is killed."""
POLL_S = 0.05
READY_POLL_S = 0.2
"""Each question makes every service look at its parts, while others still start."""
OPEN_FILES = 65536
"""Predictors hold a connection for each call under way, the stores one or more for each service."""
LOG_TAIL = 15


class Stack:
    """The stack of one data folder. Methods block; those that fail raise StackError with one message for a person."""

    def __init__(
        self,
        data: Path,
        port: int = 8080,
        predictors: int = 2,
        *,
        host: str = ports.LOOPBACK,
        services: Sequence[str] = tuple(programs.SERVICES),
        environment: Mapping[str, str] | None = None,
        say: parts.Say = lambda line: None,
    ) -> None:
        """
        Args:
            data: folder of the stack, made if missing.
            port: of the gateway; 0 takes a free one at each `up`.
            predictors: number of predictor processes.
            host: address of the gateway.
            services: which services to run, by the names in `programs.SERVICES`; none: the stores alone.
            environment: what the processes get on top of this process's environment.
            say: gets a line wherever a person has to wait.
        """
        self.data = data.resolve()
        self._port, self._host, self._predictors = port, host, predictors
        self._services = [name for name in programs.SERVICES if name in services]
        self._extra = dict(environment or {})
        self._say = say

    def up(self, timeout: float = UP_TIMEOUT_S) -> bool:
        """Start the stack and wait until it is ready; False if it ran already.

        Raises:
            StackError: what is missing or in the way; whatever had been started is stopped again.
        """
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock(timeout):
            if self.running():
                return False
            if ended := members.end(self.data, GRACE_S):
                self._say(f"ended {ended} processes of a stack that crashed")
            found = record.credentials(self.data)
            port = self._free_port()
            binaries = parts.nats_server(self._say), parts.mongod(self._say), parts.rclone()
            told = {**os.environ, **self._extra}.get("ASSAY_BWRAP")
            bwrap = parts.bubblewrap(self._say) if "scorer" in self._services and not told else None
            try:
                self._start(found, port, binaries, bwrap, time.monotonic() + timeout)
            except BaseException:
                self._stop()
                raise
        return True

    def down(self) -> bool:
        """Stop the stack in order and wait until its last process is gone; False if it did not run."""
        if not self.data.is_dir():
            return False
        with self._lock(DOWN_TIMEOUT_S):
            return self._stop()

    def running(self) -> bool:
        """Whether the supervisor answers; its parts may be down for all that (see `status`)."""
        control = self._control()
        return control is not None and control.answers()

    def status(self) -> list[PartStatus]:
        """One row a process, in the order of starting; empty if the stack does not run."""
        control = self._control()
        if control is None or not control.answers():
            return []
        order = [*programs.STORES, *programs.SERVICES]
        return sorted(control.status(), key=lambda row: (order.index(row.part.split("-")[0]), row.part))

    @property
    def url(self) -> str:
        """Where the gateway of the running stack is."""
        return self._record().url

    @property
    def environment(self) -> dict[str, str]:
        """The settings that the running services have, secrets included."""
        return dict(self._record().environment)

    @property
    def control(self) -> Control:
        """Starts and stops single parts of the running stack."""
        found = self._record()
        return Control(found.supervisor_port, found.supervisor_password)

    def _record(self) -> record.Record:
        found = record.load(self.data)
        if found is None:
            raise StackError(f"no stack runs in {self.data}; `assay up` starts it")
        return found

    def _control(self) -> Control | None:
        return self.control if record.load(self.data) else None

    def _start(
        self,
        keys: record.Credentials,
        port: int,
        binaries: tuple[parts.Binary, parts.Binary, parts.Binary],
        bwrap: Path | None,
        deadline: float,
    ) -> None:
        nats_port, mongo_port, objects_port, supervisor_port = ports.free(4)
        for folder in ("nats", "mongo", "objects", "logs"):
            (self.data / folder).mkdir(mode=0o700, exist_ok=True)
        record.write_private(self.data / "mongo.key", keys.mongo_key + "\n")
        sweep_uploads(self.data / "objects")
        stores = {
            "ASSAY_NATS_URL": f"nats://{ports.LOOPBACK}:{nats_port}",
            "ASSAY_NATS_TOKEN": keys.nats_token,
            "ASSAY_MONGO_URL": f"mongodb://__system:{keys.mongo_key}@{ports.LOOPBACK}:{mongo_port}/?authSource=local",
            "ASSAY_S3_ENDPOINT": f"http://{ports.LOOPBACK}:{objects_port}",
            "ASSAY_S3_ACCESS_KEY": keys.s3_access_key,
            "ASSAY_S3_SECRET_KEY": keys.s3_secret_key,
        }
        own = {**stores, "ASSAY_DATA": str(self.data), "ASSAY_PORT": str(port), "ASSAY_HOST": self._host}
        if bwrap:
            own["ASSAY_BWRAP"] = str(bwrap)
        nats, mongod, rclone = binaries
        configuration = programs.supervisor_config(
            self.data,
            [
                programs.nats(nats, self.data, nats_port),
                programs.mongo(mongod, self.data, mongo_port),
                programs.objects(rclone, self.data, objects_port),
                *(programs.service(name, self._predictors) for name in self._services),
            ],
            supervisor_port,
            keys.supervisor_password,
        )
        record.write_private(self.data / "supervisord.conf", configuration)
        record.write_private(self.data / "stack.env", "".join(f"{name}={value}\n" for name, value in stores.items()))
        record.save(
            self.data,
            record.Record(
                url=f"http://{_reachable(self._host)}:{port}",
                supervisor_port=supervisor_port,
                supervisor_password=keys.supervisor_password,
                environment=own,
            ),
        )
        self._launch(own, rclone_key=f'"{keys.s3_access_key},{keys.s3_secret_key}"')
        self._await(
            {
                "nats": partial(probes.nats, nats_port),
                "mongo": partial(probes.mongo, stores["ASSAY_MONGO_URL"]),
                "objects": partial(probes.objects, stores["ASSAY_S3_ENDPOINT"]),
            },
            deadline,
        )
        for name in self._services:
            self.control.start(name)
        if "gateway" in self._services:
            self._await_ready(deadline)

    def _launch(self, own: Mapping[str, str], rclone_key: str) -> None:
        environment = {**os.environ, **self._extra, **own, members.MARK: str(self.data), "RCLONE_AUTH_KEY": rclone_key}
        if faults := environment.get("ASSAY_FAULTS"):
            environment["ASSAY_FAULTS"] = str(Path(faults).absolute())
        config = str(self.data / "supervisord.conf")
        with open_files(OPEN_FILES):
            done = subprocess.run(
                [sys.executable, "-m", "deploy.embedded.supervisord", "-c", config],
                cwd=programs.ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                start_new_session=True,
            )
        if done.returncode:
            raise StackError(f"the supervisor did not start: {(done.stderr or done.stdout).strip()[-800:]}")

    def _await(self, questions: dict[str, Callable[[], bool]], deadline: float) -> None:
        waiting = dict(questions)
        while waiting:
            waiting = {part: answers for part, answers in waiting.items() if not answers()}
            if waiting and time.monotonic() > deadline:
                raise StackError(self._complaint("the stack did not become ready", list(waiting)))
            if waiting:
                time.sleep(POLL_S)

    def _await_ready(self, deadline: float) -> None:
        while (missing := probes.gateway(self.url)) is not None:
            if time.monotonic() > deadline:
                named = [row.part for row in self.status() if row.part.split("-")[0] in missing.lower()]
                raise StackError(self._complaint(f"the stack did not become ready: {missing}", named or ["gateway"]))
            time.sleep(READY_POLL_S)

    def _complaint(self, first: str, named: Sequence[str]) -> str:
        lines = [first]
        for part in named:
            log = self.data / "logs" / f"{part}.log"
            lines.append(f"{part}, last lines of {log}:")
            lines += [f"  {line}" for line in tail(log, LOG_TAIL)] or ["  (empty)"]
        return "\n".join(lines)

    def _stop(self) -> bool:
        control = self._control()
        ran = control is not None and control.answers()
        if ran and control is not None:
            control.shutdown()
            if not members.gone(self.data, DOWN_TIMEOUT_S):
                self._say("some processes overran their time to stop and were killed")
        left = members.end(self.data, GRACE_S)
        if left and not ran:
            self._say(f"ended {left} processes of a stack that crashed")
        record.forget(self.data)
        return ran

    def _free_port(self) -> int:
        if not self._port:
            return ports.free(1)[0]
        if "gateway" in self._services and ports.taken(self._host, self._port):
            raise StackError(
                f"port {self._port} on {self._host} is taken by another program; "
                "stop that one, or set ASSAY_PORT to a free port (0 picks one)"
            )
        return self._port

    @contextmanager
    def _lock(self, timeout: float) -> Iterator[None]:
        """One start or stop at a time; the kernel lets go of the lock when its holder dies."""
        deadline = time.monotonic() + timeout
        with (self.data / "lock").open("w") as file:
            waited = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waited:
                        self._say(f"another command starts or stops the stack in {self.data}; waiting for it")
                        waited = True
                if time.monotonic() > deadline:
                    raise StackError(f"another command still starts or stops the stack in {self.data}; try again later")
                time.sleep(POLL_S)
            yield


def sweep_uploads(folder: Path) -> None:
    """Delete what the object store left of uploads that a kill cut short; none of them was ever answered."""
    for pattern in (".rclone_temp_*", ".rclone_multipart_upload_*"):
        for file in folder.rglob(pattern):
            file.unlink(missing_ok=True)


def tail(log: Path, count: int) -> list[str]:
    """The last lines of a log file, none if it is not there."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-count:]


@contextmanager
def open_files(wanted: int) -> Iterator[None]:
    """Let processes started meanwhile open this many files, or as many as the machine lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  compared, not listened on
        return ports.LOOPBACK
    return f"[{host}]" if ":" in host else host
