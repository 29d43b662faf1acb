"""Websockets as they go over the wire, beneath ASGI: frames that are built once for all clients, and an end to those that do not read.

uvicorn's protocol builds each frame anew for each client, and its close waits until the client has read what was sent before, be it
for ever. The one here is that protocol with both changed; a route reaches it through its scope (`wire_of`).
"""

import asyncio
import socket
from asyncio.transports import BaseTransport
from functools import lru_cache

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's for each client, which by itself lets it grow to megabytes: so much for each client that does not read."""

LET_GO_S = 30.0
"""How long a connection that is closed may wait for its client to read what came before the close."""

TRY_AGAIN = 1013

_EXTENSION = "assay.wire"


@lru_cache(maxsize=256)
def text_frame(text: str) -> bytes:
    """A whole text message in one frame, unmasked as a server's are and not compressed: the same bytes for every client."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


class Gone(Exception):
    """The client is no longer connected."""


class Wire(WebSocketsSansIOProtocol):
    """One client's connection."""

    let_go_s = LET_GO_S
    _letting_go: asyncio.TimerHandle | None = None

    async def send_frame(self, frame: bytes, timeout_s: float) -> None:
        """Send a frame of `text_frame`, once less than the transport's high-water mark waits to be sent.

        Raises `TimeoutError` where that takes longer than `timeout_s`, and `Gone`. Only for a connection without extensions.
        """
        if not self.writable.is_set():
            async with asyncio.timeout(timeout_s):
                await self.writable.wait()
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise Gone
        self.transport.write(frame)

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        if connection := transport.get_extra_info("socket"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._letting_go:
            self._letting_go.cancel()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """A client that does not answer a ping does not read what came before it either, so it gets the same code as a slow one."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.fail(TRY_AGAIN, "this client does not answer pings; resume from the last cursor")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
        self._let_go()

    async def run_asgi(self) -> None:
        self.scope["extensions"][_EXTENSION] = self  # type: ignore[assignment]
        await super().run_asgi()
        self._let_go()

    def _let_go(self) -> None:
        if not self.disconnected and not self._letting_go:
            self._letting_go = self.loop.call_later(self.let_go_s, self.transport.abort)


def wire_of(websocket: WebSocket) -> Wire:
    wire: Wire = websocket.scope["extensions"][_EXTENSION]
    return wire
