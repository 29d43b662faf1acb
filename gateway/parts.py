"""What the routes work with. `app.py` builds it once; a route asks for it as `Connected` or `PartsOf`."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from gateway.distributions import Counting
from gateway.live import Feed
from gateway.log import Log
from gateway.stream import Kept
from shared import subjects
from shared.errors import Unavailable
from shared.secrets import Cipher
from shared.service import Service, call
from shared.settings import Settings
from shared.storage.mongo import Database
from shared.storage.objects import Objects


@dataclass
class Parts:
    """The gateway's connections. `connected` and `cipher` come later than HTTP: the other parts may still be starting."""

    settings: Settings
    service: Service
    database: Database
    objects: Objects
    feed: Feed
    connected: bool = False
    cipher: Cipher | None = None
    log: Log = field(init=False)
    counting: Counting = field(init=False)

    def __post_init__(self) -> None:
        self.log = Log(self.database, Kept(self.service), self.feed)
        self.counting = Counting(self.database)

    def need_nats(self) -> None:
        if not self.connected:
            raise Unavailable("nats is not connected yet")

    async def command(self, service: str, verb: str, body: dict[str, Any], *, timeout: float = 10.0) -> Any:
        """Hand a command to its owner; raises the `Problem` it answers, or `Unavailable`."""
        self.need_nats()
        return await call(self.service.broker, subjects.command(service, verb), body, timeout=timeout)


def parts_of(connection: HTTPConnection) -> Parts:
    parts: Parts = connection.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(parts_of)]
