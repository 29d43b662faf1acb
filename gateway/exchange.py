"""What every HTTP exchange goes through: a limit on its body, a clean answer to what is unforeseen, and a body that is read
to its end before an early refusal, since closing a connection with unread bytes in it resets it and the client never sees why.
"""

import asyncio
import contextlib
import logging
import traceback

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import Show, from_exception

logger = logging.getLogger("assay.gateway")

MAX_BODY_BYTES = 512 * 1024
"""Of a JSON body: a command must fit into one message of the broker, by default 1 MiB."""

DRAIN_S = 10.0

_LIMIT = "assay.body_limit"


def allow_body(request: Request, limit: int, why: str) -> None:
    """Lift the limit for this request to `limit` bytes; `why` ends the message of a refusal."""
    request.scope[_LIMIT] = (limit, why)


class Exchange:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, show: Show) -> None:
        self._app = app
        self._show = show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_LIMIT] = (MAX_BODY_BYTES, f"a JSON body may have {MAX_BODY_BYTES // 1024} KiB")
        body = _Body(scope, receive)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if message["status"] >= 400:
                    await body.drain()
            await send(message)

        try:
            await self._app(scope, body.receive, answer)
        except Exception as error:
            problem = from_exception(error)
            # The frames alone: an exception's text may quote what a client sent.
            frames = "".join(traceback.format_tb(error.__traceback__)) if problem.status == 500 else ""
            logger.error("%s %s: %s\n%s", scope["method"], scope["path"], type(error).__name__, frames)
            if not started:
                await self._show(Request(scope), problem)(scope, receive, answer)


class _Body:
    """A request's body, counted."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._size = 0
        self._complete = False
        # A client that waits to be told to go on has not sent its body: asking for it would make it send.
        self._waits = any(name == b"expect" for name, _ in scope["headers"])

    async def receive(self) -> Message:
        message = await self._take()
        limit, why = self._scope[_LIMIT]
        if self._size > limit:
            raise HTTPException(413, f"the body is too large: {why}")
        return message

    async def drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._complete and not self._waits:
                    await self._take()

    async def _take(self) -> Message:
        message = await self._receive()
        self._waits = False
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        else:
            self._complete = True
        return message
