"""The supervisor's remote control: XML-RPC on the loopback address."""

import http.client
import xmlrpc.client
from dataclasses import dataclass
from typing import Any

from deploy.embedded.errors import StackError
from deploy.embedded.ports import LOOPBACK

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class PartStatus:
    """One process: `state` is the supervisor's word in lower case (`running`, `exited`, `stopped` ...)."""

    part: str
    state: str
    pid: int | None
    uptime_s: float
    log: str


class _Transport(xmlrpc.client.Transport):
    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT_S
        return connection


class Control:
    """Talks to the supervisor of one stack. Every method raises StackError where it does not answer or refuses."""

    def __init__(self, port: int, password: str) -> None:
        self._address = f"http://assay:{password}@{LOOPBACK}:{port}/RPC2"

    def answers(self) -> bool:
        """Whether there is a supervisor that knows our password."""
        try:
            self._call("supervisor.getState")
        except StackError:
            return False
        return True

    def status(self) -> list[PartStatus]:
        """All processes."""
        return [
            PartStatus(
                part=row["name"],
                state=str(row["statename"]).lower(),
                pid=row["pid"] or None,
                uptime_s=float(row["now"] - row["start"]) if row["pid"] else 0.0,
                log=row["stdout_logfile"],
            )
            for row in self._call("supervisor.getAllProcessInfo")
        ]

    def start(self, part: str) -> None:
        """Start what does not run of this part, all its copies."""
        self._call("supervisor.startProcessGroup", part, False)

    def stop(self, part: str) -> None:
        """Begin to stop all copies of this part; they stay stopped until `start`."""
        self._call("supervisor.stopProcessGroup", part, False)

    def shutdown(self) -> None:
        """Stop everything in order, then the supervisor itself; returns at once."""
        self._call("supervisor.shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy(self._address, transport=_Transport()) as server:
            try:
                return getattr(server, method)(*arguments)
            except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
                # Without the error's own words: they hold the address, and that the password.
                raise StackError(f"the stack's supervisor does not answer ({type(error).__name__})") from None
