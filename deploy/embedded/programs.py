"""The processes of a stack, and the supervisor's configuration that runs them."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded.errors import StackError
from deploy.embedded.parts import Binary
from deploy.embedded.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]

STORES = ("nats", "mongo", "objects")

SERVICES: Mapping[str, str] = {
    "artifacts": "services.artifacts.app",
    "scorer": "services.scorer.app",
    "predictor": "services.predictor.app",
    "launcher": "services.launcher.app",
    "orchestrator": "services.orchestrator.app",
    "gateway": "gateway.app",
}
"""Module of each service, in the order of starting; they stop in the opposite one, so that nobody calls what is gone."""

MONGO_CACHE = "128M"
"""mongod's own default is half of the machine's memory, and a large run fills whatever it gets; the least that its own flag takes (256 MB)
made it 402 MB resident at 200,000 items. What must be at hand is where results are inserted and items read, which does not grow with
the run: with this one an insert costs the same (measured over 400,000), and mongod has 80 MB less. The system's file cache is apart."""

SERVICE_STOP_S = 20
STORE_STOP_S = 30
LOG_BYTES = "20MB"
LOG_FILES = 3


@dataclass(frozen=True)
class Program:
    """One part. With `copies`, its processes are called `name-1`, `name-2` ..."""

    name: str
    command: Sequence[str]
    stop_wait_s: int
    copies: int | None = None
    autostart: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def processes(self) -> list[str]:
        return [self.name] if self.copies is None else [f"{self.name}-{n + 1}" for n in range(self.copies)]


def nats(binary: Binary, data: Path, port: int) -> Program:
    config = ROOT / "deploy" / "nats.conf"
    command = (str(binary.path), "-c", str(config), "-a", LOOPBACK, "-p", str(port), "-sd", str(data / "nats"))
    # On a machine that everything shares, threads that look for work and a heap that is cleaned at 4 MB cost a third of its time.
    # The limit holds what that lets the heap grow to, most of it garbage, as rates go up. It must be well above what lives: the ids of the
    # duplicate window, which are all there after half a minute. At 192 MiB the collector then never rested (79 instead of 60 µs an item).
    tuning = {"GOMAXPROCS": "1", "GOGC": "400", "GOMEMLIMIT": "320MiB"}
    return Program("nats", command, STORE_STOP_S, environment={**binary.environment, **tuning})


def mongo(binary: Binary, data: Path, port: int) -> Program:
    """The key file makes mongod ask for a password: clients sign in as its internal user with the key itself."""
    command = (
        str(binary.path),
        *("--dbpath", str(data / "mongo"), "--bind_ip", LOOPBACK, "--port", str(port)),
        *(
            "--nounixsocket",
            "--quiet",
            "--wiredTigerEngineConfigString",
            f"cache_size={MONGO_CACHE}",
            "--keyFile",
            str(data / "mongo.key"),
        ),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    )
    return Program("mongo", command, STORE_STOP_S, environment=binary.environment)


def objects(binary: Binary, data: Path, port: int) -> Program:
    """The key pair comes in the environment (`RCLONE_AUTH_KEY`): every user of the machine can read a command line.

    Without a cache, so that an answered upload is in the folder and not on its way there.
    """
    command = (
        str(binary.path),
        *("serve", "s3", str(data / "objects"), "--addr", f"{LOOPBACK}:{port}"),
        *("--config", "", "--vfs-cache-mode", "off", "--log-level", "NOTICE"),
    )
    return Program("objects", command, STORE_STOP_S, environment=binary.environment)


def service(name: str, predictors: int) -> Program:
    """A service waits for its start until the stores answer."""
    copies = predictors if name == "predictor" else None
    return Program(name, (sys.executable, "-m", SERVICES[name]), SERVICE_STOP_S, copies, autostart=False)


def supervisor_config(data: Path, programs: Sequence[Program], port: int, password: str) -> str:
    """supervisord.conf: programs start in this order and stop in the opposite one, each after the one before is gone.

    With `startsecs=0` a process counts as running at once, so that one that dies, however often and however early,
    has exited and is started again; it never uses up its retries.
    """
    logs = data / "logs"
    sections = [
        _section(
            "supervisord",
            logfile=_literal(logs / "supervisord.log"),
            logfile_maxbytes=LOG_BYTES,
            logfile_backups=LOG_FILES,
            pidfile=_literal(data / "supervisord.pid"),
            childlogdir=_literal(logs),
            nocleanup="true",
            # What any process may open; the limit itself is raised by who starts the supervisor.
            minfds=256,
            minprocs=1,
            umask="077",
        ),
        _section("inet_http_server", port=f"{LOOPBACK}:{port}", username="assay", password=password),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
    ]
    sections += [_program(logs, program, priority) for priority, program in enumerate(programs, start=1)]
    return "\n".join(sections)


def _program(logs: Path, program: Program, priority: int) -> str:
    process = program.name if program.copies is None else f"{program.name}-%(process_num)d"
    return _section(
        f"program:{program.name}",
        command=_literal(" ".join(map(shlex.quote, program.command))),
        environment=",".join(f'{name}="{_literal(value)}"' for name, value in program.environment.items()),
        process_name=process,
        numprocs=program.copies or 1,
        numprocs_start=1,
        directory=_literal(ROOT),
        priority=priority,
        autostart=str(program.autostart).lower(),
        autorestart="true",
        startsecs=0,
        startretries=1_000_000_000,
        stopsignal="TERM",
        stopwaitsecs=program.stop_wait_s,
        # A service ends its own children in order; what overruns its time goes with all of them.
        stopasgroup="false",
        killasgroup="true",
        redirect_stderr="true",
        stdout_logfile=f"{_literal(logs)}/{process}.log",
        stdout_logfile_maxbytes=LOG_BYTES,
        stdout_logfile_backups=LOG_FILES,
    )


def _section(title: str, **lines: object) -> str:
    return f"[{title}]\n" + "".join(f"{name}={value}\n" for name, value in lines.items())


def _literal(value: object) -> str:
    """A value that the supervisor reads as it is."""
    text = str(value)
    # It expands `%` (some values twice), takes the rest after ` #` and ` ;` for a comment, and knows no way to quote them.
    if any(sign in text for sign in ("%", " #", " ;", "\n")):
        raise StackError(
            f"{text!r}: no `%`, ` #`, ` ;` or line break may be in the path of the data folder or checkout"
        )
    return text
