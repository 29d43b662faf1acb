"""Where engines run: the seam between what decides and what starts them. `local.py` starts processes on this machine; a cluster's
backend would start pods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from shared.errors import AssayError


class CannotStart(AssayError):
    """The backend could not start the engine at all; one sentence for a person."""


@dataclass(frozen=True)
class Launch:
    """What is to be started. `command(host, port)` gives the argument list for where the backend lets it listen; `environment` is all that
    it sees; `output` gets what it prints, as it comes."""

    model: str
    command: Callable[[str, int], Sequence[str]]
    environment: Mapping[str, str]
    output: Callable[[bytes], None]


@dataclass(frozen=True)
class Ended:
    """How an engine ended: in words ("ended with exit code 1"), and its exit code."""

    code: int

    @property
    def words(self) -> str:
        if self.code > 128:
            return f"was killed by signal {self.code - 128}"
        return f"ended with exit code {self.code}"


class Port(Enum):
    """Who listens where the engine was told to: an engine may be slow, or too late."""

    NOBODY = "nobody"
    ENGINE = "engine"
    ANOTHER = "another"


class Process(Protocol):
    """An engine that was started."""

    @property
    def url(self) -> str:
        """`http://host:port` of where it was told to listen."""

    async def port(self) -> Port: ...

    async def ended(self) -> Ended:
        """Returns once it has ended, and nothing of it is left."""

    async def stop(self) -> None:
        """The same, after it was asked to end and, where it does not, made to."""


class Backend(Protocol):
    async def start(self, launch: Launch) -> Process:
        """Raises `CannotStart`."""
